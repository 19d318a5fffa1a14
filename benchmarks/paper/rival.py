"""The rival: BatchNorm re-estimated on the test stream, and TENT, against patches and an oracle.

The rivals work on the network before its BatchNorm was folded, and are told nothing. A patch needs
an oracle that names the corruption, on the mixed stream that of each image; on clean images it
takes the patch off. TENT's learning rate is chosen on validation images for each batch size, so
that the rival is at its best.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean

from torch import Tensor, nn

from benchmarks.paper.pages import (
    CLEAN,
    COLOURS,
    LINE,
    PATCHED,
    SYNTHETIC_FROST,
    Picture,
    Table,
    bars,
    draw,
    tidy,
    write_page,
)
from benchmarks.paper.study import Study
from rwsstore.data import ImageSet
from rwsstore.drawing import new_figure
from rwsstore.errors import ConfigError
from rwsstore.measure import accuracy, rival_accuracy, with_batch_statistics
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

Shown = Callable[[ImageSet], Tensor]


@dataclass(frozen=True)
class Rival:
    """One way to adapt on the test stream.

    Attributes:
        label: in tables.
        accuracy: images and labels to percent, over one stream from the start.
        images: measured on so many at most; None: all.
        rate: TENT's learning rate.
    """

    label: str
    accuracy: Callable[[Tensor, Tensor], float]
    images: int | None = None
    rate: float | None = None


@dataclass(frozen=True)
class Found:
    """Everything that was measured, by what the images are.

    Attributes:
        single: of streams of one corruption, and of clean images.
        mixed: of mixed streams, by the number of their corruptions.
    """

    single: dict[str, Row]
    mixed: dict[int, Row]

    def mean(self, names: Sequence[str]) -> Row:
        """Means over corruptions, by method."""
        methods = self.single[names[0]]
        return {method: fmean(self.single[name][method] for name in names) for method in methods}


def run(study: Study) -> None:
    """Measure, write the page and the picture."""
    rivals, names = _rivals(study), study.settings.rival.corruptions
    patches, sets = study.patches(names), _sets(names)
    with study.progress.task("rival", total=1 + len(names) + len(sets)) as task:
        single = {UNCHANGED: _row(study, rivals, UNCHANGED, lambda images: images.images)}
        task.advance(note="clean images")
        for name in names:
            single[name] = _single(study, rivals, name, patches[name])
            task.advance(note=name)
        mixed = {}
        for chosen in sets:
            mixed[len(chosen)] = _mixed(study, rivals, {name: patches[name] for name in chosen})
            task.advance(note=f"mixed, {len(chosen)} types")
    _write(study, rivals, Found(single, mixed), sets)


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


def _single(study: Study, rivals: Sequence[Rival], name: str, patch: Patch) -> Row:
    """Every method on a stream of one corruption."""

    def shown(images: ImageSet) -> Tensor:
        return study.corrupted(images, name)

    def oracle() -> float:
        return accuracy(study.patched(patch), shown(study.test), study.test.labels)

    return _row(study, rivals, name, shown, oracle)


def _mixed(study: Study, rivals: Sequence[Rival], patches: Mapping[str, Patch]) -> Row:
    """Every method on a stream in which each image has a corruption of its own."""

    def stream(images: ImageSet) -> MixedStream:
        severity, seed = study.settings.severity, study.settings.seed
        return mixed_stream(images.images, tuple(patches), severity, seed=seed)

    def oracle() -> float:
        found, labels, right = stream(study.test), study.test.labels, 0.0
        for place, patch in enumerate(patches.values()):
            chosen = found.which == place
            if bool(chosen.any()):
                share = accuracy(study.patched(patch), found.images[chosen], labels[chosen])
                right += share * int(chosen.sum())
        return right / len(labels)

    key = f"mixed{len(patches)}"
    return _row(study, rivals, key, lambda images: stream(images).images, oracle)


def _row(
    study: Study,
    rivals: Sequence[Rival],
    key: str,
    shown: Shown,
    oracle: Callable[[], float] | None = None,
) -> Row:
    """Measure every method on one stream; an oracle that is None puts no patch on."""
    test, number, row = study.test, study.results.number, Row()
    for rival in rivals:

        def measured(rival: Rival = rival) -> float:
            few = test
            if rival.images is not None and rival.images < len(test):
                few = test.limit(rival.images, study.settings.seed)
            return rival.accuracy(shown(few), few.labels)

        row[rival.label] = number(f"{key}/{rival.label}", measured)
    row[NO_PATCH] = study.measure(f"{key}/clean", study.live([]), partial(shown, test), test.labels)
    row[ORACLE] = row[NO_PATCH] if oracle is None else number(f"{key}/rws", oracle)
    return row


def _write(
    study: Study, rivals: Sequence[Rival], found: Found, sets: Sequence[Sequence[str]]
) -> None:
    methods = [NO_PATCH, *(rival.label for rival in rivals), ORACLE]
    summary = {f"mean of {len(names)}": found.mean(names) for names in sets}
    summary |= {f"mixed stream of {count}": row for count, row in found.mixed.items()}
    rows = {**found.single, **{f"**{label}**": row for label, row in summary.items()}}
    write_page(
        study,
        unchanged=UNCHANGED,
        notes=" ".join(_notes(study, rivals)),
        winners=winners(found, sets),
        table=Table(
            ["images", *methods],
            [[label, *(row[method] for method in methods)] for label, row in rows.items()],
        ),
        picture=_draw(study, found.single, methods, summary),
    )


def _notes(study: Study, rivals: Sequence[Rival]) -> list[str]:
    settings, said = study.settings.rival, []
    rates = [f"{rival.rate:g} for {rival.label}" for rival in rivals if rival.rate is not None]
    if rates:
        few = len(settings.tent_learning_rates)
        chosen = f", of {few} chosen on validation images" if few > 1 else ""
        said.append(f"Adam's learning rate is {', '.join(rates)}{chosen}.")
    said += [
        f"{rival.label} is measured on {min(rival.images, len(study.test)):,} of the test images."
        for rival in rivals
        if rival.images is not None
    ]
    extra = ", ".join(name for name in settings.corruptions if name in EXTRA)
    if extra:
        said.append(f"The mean of the benchmark's main types leaves out {extra}.")
    if "frost" in settings.corruptions:
        said.append(SYNTHETIC_FROST)
    return said


def winners(found: Found, sets: Sequence[Sequence[str]]) -> list[str]:
    """Say who wins where; the rival wins ties."""
    every = sets[-1]
    lost = []
    for name in every:
        row = found.single[name]
        best = max((method for method in row if method != ORACLE), key=row.__getitem__)
        if row[best] >= row[ORACLE]:
            lost.append(f"{best} on {name}")
    said = [
        f"All images of one corruption, mean of {len(every)} types: {_ranking(found.mean(every))}.",
        f"The oracle's patches are best on {len(every) - len(lost)} of {len(every)}",
    ]
    return [
        " ".join(said) + (f"; {', '.join(lost)}." if lost else "."),
        *(
            f"On the mixed stream of {count} types: {_ranking(row)}."
            for count, row in found.mixed.items()
        ),
        f"On clean images: {_ranking(found.single[UNCHANGED])}.",
    ]


def _ranking(row: Row) -> str:
    """Methods from the best to the worst, with their numbers."""
    best = sorted(row, key=lambda method: -row[method])
    return ", ".join(f"{method} {row[method]:.1f}" for method in best)


def _draw(
    study: Study, single: Mapping[str, Row], methods: Sequence[str], summary: Mapping[str, Row]
) -> Picture:
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
    for drawn in bars(right, names, groups, colours, y=""):
        right.bar_label(drawn, fmt="%.0f", fontsize=6, color=LINE)
    words = [name.replace("_", " ") for name in single]
    left.set_xticks(range(len(single)), words, rotation=60, ha="right", fontsize=8)
    left.grid(axis="y", color="#eeeeee")
    left.set_ylabel("accuracy in %")
    left.set_ylim(0, 100)
    lines, labels = left.get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside upper left", ncols=4, frameon=False, fontsize=8)
    return draw(study, "The rival: BatchNorm on the test stream, and TENT", figure)
