"""The rival: BatchNorm re-estimated on the test stream, and TENT, against patches and an oracle.

The rivals work on the network before its BatchNorm was folded, and are told nothing. A patch needs
an oracle that names the corruption, on the mixed stream that of each image; on clean images it
takes the patch off. TENT's learning rate is chosen on validation images for each batch size, so
that the rival is at its best.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean

import torch
from torch import Tensor, nn

from benchmarks.paper import pages
from benchmarks.paper.pages import CLEAN, COLOURS, LINE, PATCHED, table, tidy
from benchmarks.paper.study import Study
from rwsstore.data import ImageSet
from rwsstore.drawing import new_figure
from rwsstore.errors import ConfigError
from rwsstore.measure import correctness, rival_accuracy, with_batch_statistics
from rwsstore.measure.accuracy import percent
from rwsstore.measure.rival import MixedStream, Tent, TentOptions, mixed_stream, tent_accuracy
from rwsstore.models import fold_batchnorm, weights_fingerprint
from rwsstore.patches import Patch

EXTRA = frozenset({"speckle_noise", "gaussian_blur", "spatter", "saturate"})
"""The benchmark's extra types, which its mean over 15 leaves out (Hendrycks and Dietterich)."""

NO_PATCH, ORACLE = "no patch", "RWS, oracle"
UNCHANGED = "none"
"""In place of a corruption's name: clean images."""

Row = dict[str, float]
"""Accuracy in percent by method."""


@dataclass(frozen=True)
class Rival:
    """One way to adapt on the test stream: images and labels to percent, from the start."""

    label: str
    accuracy: Callable[[Tensor, Tensor], float]
    images: int | None = None  # measured on so many at most
    rate: float | None = None  # of TENT


@dataclass(frozen=True)
class Found:
    """What was measured: on streams of one corruption or clean images; on mixed ones, by types."""

    single: dict[str, Row]
    mixed: dict[int, Row]

    def mean(self, names: Sequence[str]) -> Row:
        methods = self.single[names[0]]
        return {method: fmean(self.single[name][method] for name in names) for method in methods}


def run(study: Study) -> None:
    rivals, names = _rivals(study), study.settings.rival.corruptions
    patches, sets = study.patches(names), _sets(names)
    single = {UNCHANGED: _row(study, rivals, UNCHANGED, {})}
    for name in study.each("one corruption", names):
        single[name] = _row(study, rivals, name, {name: patches[name]})
    mixed = {}
    for chosen in study.each("mixed streams", sets):
        key, own = f"mixed{len(chosen)}", {name: patches[name] for name in chosen}
        mixed[len(chosen)] = _row(study, rivals, key, own)
    found = Found(single, mixed)
    methods = [NO_PATCH, *(rival.label for rival in rivals), ORACLE]
    summary = {f"mean of {len(names)}": found.mean(names) for names in sets}
    summary |= {f"mixed stream of {count}": row for count, row in mixed.items()}
    rows = {**single, **{f"**{label}**": row for label, row in summary.items()}}
    pages.write_page(
        study,
        unchanged=UNCHANGED,
        notes=" ".join(_notes(study, rivals)),
        winners=winners(found, sets),
        table=table(
            ["images", *methods],
            [[label, *(row[method] for method in methods)] for label, row in rows.items()],
        ),
        picture=_draw(study, single, methods, summary),
    )


def _rivals(study: Study) -> list[Rival]:
    unfolded, settings = study.unfolded, study.settings.rival
    if unfolded is None:
        raise ConfigError(
            "the rival needs the network before folding: name the folder that rws bundle worked in "
            "(--work-bundle)"
        )
    wanted = weights_fingerprint(study.clean.state_dict())
    if weights_fingerprint(fold_batchnorm(unfolded).state_dict()) != wanted:
        raise ConfigError("the unfolded network is not the clean model's: folded, it differs")
    model, found = with_batch_statistics(unfolded), []
    for batch in settings.batches:
        stream = partial(rival_accuracy, model, batch_size=batch)
        few = settings.batch_one_images if batch == 1 else None
        found.append(Rival(f"BatchNorm at batch {batch}", stream, few))
    for batch in settings.tent_batches:
        rate = tent_rate(study, unfolded, batch)
        tent = Tent(unfolded, TentOptions(learning_rate=rate))
        stream = partial(tent_accuracy, tent, batch_size=batch)
        found.append(Rival(f"TENT at batch {batch}", stream, rate=rate))
    return found


def _sets(names: Sequence[str]) -> list[tuple[str, ...]]:
    """The benchmark's 15 types, where there are some that it leaves out, and all."""
    main = tuple(name for name in names if name not in EXTRA)
    return [main, tuple(names)] if main and len(main) < len(names) else [tuple(names)]


def tent_rate(study: Study, unfolded: nn.Module, batch: int) -> float:
    """The learning rate that serves TENT best on corrupted validation images."""

    def one(rate: float, name: str) -> float:
        images = study.corrupted(study.validation, name)
        tent = Tent(unfolded, TentOptions(learning_rate=rate))
        return tent_accuracy(tent, images, study.validation.labels, batch)

    def mean(rate: float) -> float:
        return fmean(
            study.results.number(
                f"validation/tent{batch}/{rate:g}/{name}", partial(one, rate, name)
            )
            for name in study.settings.corruptions
        )

    return max(study.settings.rival.tent_learning_rates, key=mean)


def _stream(study: Study, images: ImageSet, names: Sequence[str]) -> MixedStream:
    """Images with a corruption of their own each, or as they are where none is named."""
    severity, seed = study.settings.severity, study.settings.seed
    if len(names) > 1:
        return mixed_stream(images.images, tuple(names), severity, seed=seed)
    shown = study.corrupted(images, names[0]) if names else images.images
    return MixedStream(shown, tuple(names), torch.zeros(len(images)))


def _row(study: Study, rivals: Sequence[Rival], key: str, patches: Mapping[str, Patch]) -> Row:
    """Measure every method on one stream; the oracle puts on the patch that an image needs."""
    test, number, row = study.test, study.results.number, Row()

    def stream(images: ImageSet) -> MixedStream:
        return _stream(study, images, list(patches))

    def oracle() -> float:
        found, right = stream(test), []
        for place, patch in enumerate(patches.values()):
            own = found.which == place
            if bool(own.any()):
                right.append(correctness(study.patched(patch), found.images[own], test.labels[own]))
        return percent(torch.cat(right))

    for rival in rivals:

        def measured(rival: Rival = rival) -> float:
            few = test if rival.images is None else study.some(test, rival.images)
            return rival.accuracy(stream(few).images, few.labels)

        row[rival.label] = number(f"{key}/{rival.label}", measured)
    clean = study.live([])
    row[NO_PATCH] = study.measure(f"{key}/clean", clean, lambda: stream(test).images, test.labels)
    row[ORACLE] = number(f"{key}/rws", oracle) if patches else row[NO_PATCH]
    return row


def _notes(study: Study, rivals: Sequence[Rival]) -> Iterator[str]:
    settings = study.settings.rival
    rates = [f"{rival.rate:g} for {rival.label}" for rival in rivals if rival.rate is not None]
    if rates:
        few = len(settings.tent_learning_rates)
        chosen = f", of {few} chosen on validation images" if few > 1 else ""
        yield f"Adam's learning rate is {', '.join(rates)}{chosen}."
    for rival in rivals:
        if rival.images is not None:
            few = min(rival.images, len(study.test))
            yield f"{rival.label} is measured on {few:,} of the test images."
    if extra := ", ".join(name for name in settings.corruptions if name in EXTRA):
        yield f"The mean of the benchmark's main types leaves out {extra}."
    if "frost" in settings.corruptions:
        yield pages.SYNTHETIC_FROST


def winners(found: Found, sets: Sequence[Sequence[str]]) -> list[str]:
    """Say who wins where; the rival wins ties."""
    every, lost = sets[-1], []
    mean = f"mean of {len(every)} types: {_ranking(found.mean(every))}"
    for name in every:
        row = {method: value for method, value in found.single[name].items() if method != ORACLE}
        best = max(row, key=row.__getitem__)
        if row[best] >= found.single[name][ORACLE]:
            lost.append(f"{best} on {name}")
    best_on = f"The oracle's patches are best on {len(every) - len(lost)} of {len(every)}"
    held = f"; {', '.join(lost)}" if lost else ""
    return [
        f"All images of one corruption, {mean}. {best_on}{held}.",
        *(f"On the mixed stream of {n} types: {_ranking(row)}." for n, row in found.mixed.items()),
        f"On clean images: {_ranking(found.single[UNCHANGED])}.",
    ]


def _ranking(row: Row) -> str:
    best = sorted(row, key=lambda method: -row[method])
    return ", ".join(f"{method} {row[method]:.1f}" for method in best)


def _draw(
    study: Study, single: Mapping[str, Row], methods: Sequence[str], summary: Mapping[str, Row]
) -> str:
    colours = (CLEAN, *(COLOURS[1:] * 9)[: len(methods) - 2], PATCHED)
    figure = new_figure(3.2 + 0.42 * len(single) + 1.3 * len(summary), 4.6)
    widths = {"width_ratios": [len(single) + 2, 3 * len(summary)]}
    left, right = (tidy(axes) for axes in figure.subplots(1, 2, gridspec_kw=widths))
    for method, colour in zip(methods, colours, strict=True):
        heights = [row[method] for row in single.values()]
        size = 60 if method == ORACLE else 28
        left.scatter(range(len(single)), heights, s=size, color=colour, label=method, zorder=2)
    names = [name.replace(" of ", "\nof ") for name in summary]
    groups = {method: [row[method] for row in summary.values()] for method in methods}
    for drawn in pages.bars(right, names, groups, colours, y=""):
        right.bar_label(drawn, fmt="%.0f", fontsize=6, color=LINE)
    words = [name.replace("_", " ") for name in single]
    left.set_xticks(range(len(single)), words, rotation=60, ha="right", fontsize=8)
    left.grid(axis="y", color="#eeeeee")
    left.set_ylabel("accuracy in %")
    left.set_ylim(0, 100)
    lines, labels = left.get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside upper left", ncols=4, frameon=False, fontsize=8)
    return pages.draw(study, "The rival: BatchNorm on the test stream, and TENT", figure)
