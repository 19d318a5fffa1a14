"""The rival: BatchNorm re-estimated on the test stream, and TENT, against patches and an oracle.

    python -m benchmarks.paper.rival --data NAME:PATH --work-bundle DIR

The rivals work on the network before its BatchNorm was folded, and are told nothing. A patch needs
an oracle that names the corruption, on the mixed stream that of each image; on clean images it
takes the patch off. TENT's learning rate is chosen on validation images for each batch size, so
that the rival is at its best.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

from torch import Tensor, nn

from benchmarks.paper.pages import (
    CLEAN,
    COLOURS,
    LINE,
    PATCHED,
    new_figure,
    save_figure,
    tidy,
    write_page,
)
from benchmarks.paper.study import Study, start
from rwsstore.data import ImageSet
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
    unfolded = _unfolded(study)
    rivals = [*_batchnorms(study, unfolded), *_tents(study, unfolded)]
    names = study.settings.rival.corruptions
    patches, sets = study.patches(names), _sets(names)
    with study.progress.task("rival", total=1 + len(names) + len(sets)) as task:
        single = {UNCHANGED: _row(study, rivals, UNCHANGED, lambda images: images.images, None)}
        task.advance(note="clean images")
        for name in names:
            single[name] = _single(study, rivals, name, patches[name])
            task.advance(note=name)
        mixed = {}
        for chosen in sets:
            mixed[len(chosen)] = _mixed(study, rivals, {name: patches[name] for name in chosen})
            task.advance(note=f"mixed, {len(chosen)} types")
    _write(study, rivals, Found(single, mixed), sets)


def _unfolded(study: Study) -> nn.Module:
    if study.unfolded is None:
        raise ConfigError(
            "the rival needs the network before folding: name the folder that rws bundle worked in "
            "(--work-bundle)"
        )
    wanted = weights_fingerprint(study.clean.state_dict())
    if weights_fingerprint(fold_batchnorm(study.unfolded).state_dict()) != wanted:
        raise ConfigError("the unfolded network is not the clean model's: folded, it differs")
    return study.unfolded


def _sets(names: Sequence[str]) -> list[tuple[str, ...]]:
    """The benchmark's 15 types, where there are some that it leaves out, and all."""
    main = tuple(name for name in names if name not in EXTRA)
    return [main, tuple(names)] if main and len(main) < len(names) else [tuple(names)]


def _batchnorms(study: Study, unfolded: nn.Module) -> list[Rival]:
    model, settings = with_batch_statistics(unfolded), study.settings.rival
    return [
        Rival(
            f"BatchNorm at batch {batch}",
            partial(rival_accuracy, model, batch_size=batch),
            settings.batch_one_images if batch == 1 else None,
        )
        for batch in settings.batches
    ]


def _tents(study: Study, unfolded: nn.Module) -> list[Rival]:
    rivals = []
    for batch in study.settings.rival.tent_batches:
        rate = tent_rate(study, unfolded, batch)
        stream = partial(
            tent_accuracy, Tent(unfolded, TentOptions(learning_rate=rate)), batch_size=batch
        )
        rivals.append(Rival(f"TENT at batch {batch}", stream, rate=rate))
    return rivals


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
    shown = partial(_corrupted, study, name)
    return _row(
        study, rivals, name, shown,
        lambda: accuracy(study.patched(patch), shown(study.test), study.test.labels),
    )  # fmt: skip


def _corrupted(study: Study, name: str, images: ImageSet) -> Tensor:
    return study.corrupted(images, name)


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
    shown: Callable[[ImageSet], Tensor],
    oracle: Callable[[], float] | None,
) -> Row:
    """Measure every method on one stream; an oracle that is None puts no patch on."""
    test, number = study.test, study.results.number
    row = {
        rival.label: number(f"{key}/{rival.label}", partial(_rival, rival, study, shown))
        for rival in rivals
    }
    row[NO_PATCH] = study.measure(f"{key}/clean", study.live([]), partial(shown, test), test.labels)
    row[ORACLE] = row[NO_PATCH] if oracle is None else number(f"{key}/rws", oracle)
    return row


def _rival(rival: Rival, study: Study, shown: Callable[[ImageSet], Tensor]) -> float:
    test = study.test
    if rival.images is not None and rival.images < len(test):
        test = test.limit(rival.images, study.settings.seed)
    return rival.accuracy(shown(test), test.labels)


def _write(
    study: Study, rivals: Sequence[Rival], found: Found, sets: Sequence[Sequence[str]]
) -> None:
    methods = [NO_PATCH, *(rival.label for rival in rivals), ORACLE]

    def line(label: str, row: Row) -> list[str]:
        return [label, *(f"{row[method]:.1f}" for method in methods)]

    means = {f"mean of {len(names)}": found.mean(names) for names in sets}
    streams = {f"mixed stream of {count}": row for count, row in found.mixed.items()}
    rows = [
        *(line(name, row) for name, row in found.single.items()),
        *(line(f"**{label}**", row) for label, row in {**means, **streams}.items()),
    ]
    picture = _draw(found, study, methods, {**means, **streams})
    write_page(
        study,
        "The rival: BatchNorm on the test stream, and TENT",
        [*_method(study, rivals), *winners(found, sets)],
        ["images", *methods],
        rows,
        picture,
    )


def _method(study: Study, rivals: Sequence[Rival]) -> list[str]:
    few = [rival for rival in rivals if rival.images is not None]
    slow = [
        f"{rival.label} is measured on {min(rival.images or 0, len(study.test)):,} of the test "
        "images."
        for rival in few
    ]
    extra = ", ".join(name for name in study.settings.rival.corruptions if name in EXTRA)
    left = [f"The mean of the benchmark's main types leaves out {extra}."] if extra else []
    about = (
        "Accuracy in %. The rivals adapt the network before folding to a shuffled stream, from the "
        "start for each row, and are told nothing; the patches are put on by an oracle that knows "
        f"each image's corruption, and takes them off for clean images (`{UNCHANGED}`). On a mixed "
        "stream every image has a corruption of its own."
    )
    if "frost" in study.settings.rival.corruptions:
        left.append("Frost is synthetic, not the benchmark's photographs.")
    return [about, " ".join([*_rates(study, rivals), *slow, *left])]


def _rates(study: Study, rivals: Sequence[Rival]) -> list[str]:
    found = [f"{rival.rate:g} for {rival.label}" for rival in rivals if rival.rate is not None]
    few = len(study.settings.rival.tent_learning_rates)
    chosen = f", of {few} chosen on validation images" if few > 1 else ""
    return [f"Adam's learning rate is {', '.join(found)}{chosen}."] if found else []


def winners(found: Found, sets: Sequence[Sequence[str]]) -> list[str]:
    """Say who wins where; the rival wins ties."""
    every = sets[-1]
    mean = found.mean(every)
    first = f"All images of one corruption, mean of {len(every)} types: {_ranking(mean)}."
    said = [f"{first} {_by_type(found, every)}"]
    said += [
        f"On the mixed stream of {count} types: {_ranking(row)}."
        for count, row in found.mixed.items()
    ]
    return [*said, f"On clean images: {_ranking(found.single[UNCHANGED])}."]


def _ranking(row: Row) -> str:
    """Methods from the best to the worst, with their numbers."""
    best = sorted(row, key=lambda method: -row[method])
    return ", ".join(f"{method} {row[method]:.1f}" for method in best)


def _by_type(found: Found, names: Sequence[str]) -> str:
    won = {name: _winner(found.single[name]) for name in names}
    ours = [name for name in names if won[name] == ORACLE]
    lost = [f"{won[name]} on {name}" for name in names if won[name] != ORACLE]
    first = f"The oracle's patches are best on {len(ours)} of {len(names)}"
    return f"{first}; {', '.join(lost)}." if lost else f"{first}."


def _winner(row: Row) -> str:
    others = {method: number for method, number in row.items() if method != ORACLE}
    best = max(others, key=others.__getitem__)
    return best if others[best] >= row[ORACLE] else ORACLE


def _draw(found: Found, study: Study, methods: Sequence[str], summary: Mapping[str, Row]) -> Path:
    names = list(found.single)
    colours = dict(zip(methods[1:-1], COLOURS[1:] * 9, strict=False))
    colours |= {NO_PATCH: CLEAN, ORACLE: PATCHED}
    figure = new_figure(3.2 + 0.42 * len(names) + 1.3 * len(summary), 4.6)
    widths = {"width_ratios": [len(names) + 2, 3 * len(summary)]}
    left, right = (tidy(axes) for axes in figure.subplots(1, 2, gridspec_kw=widths))
    for place, method in enumerate(methods):
        colour, heights = colours[method], [found.single[name][method] for name in names]
        size = 60 if method == ORACLE else 28
        left.scatter(range(len(names)), heights, s=size, color=colour, label=method, zorder=2)
        shift = 0.8 * ((place + 0.5) / len(methods) - 0.5)
        bars = [row[method] for row in summary.values()]
        at = [x + shift for x in range(len(summary))]
        drawn = right.bar(at, bars, 0.8 / len(methods), color=colour)
        right.bar_label(drawn, fmt="%.0f", fontsize=6, color=LINE)
    left.set_xticks(range(len(names)), [name.replace("_", " ") for name in names], rotation=60,
                    ha="right", fontsize=8)  # fmt: skip
    right.set_xticks(range(len(summary)), [name.replace(" of ", "\nof ") for name in summary],
                     fontsize=8)  # fmt: skip
    left.grid(axis="y", color="#eeeeee")
    left.set_ylabel("accuracy in %")
    for axes in (left, right):
        axes.set_ylim(0, 100)
    figure.legend(loc="outside upper left", ncols=4, frameon=False, fontsize=8)
    return save_figure(study, figure)


def main() -> None:
    start("rival", run, __doc__)


if __name__ == "__main__":
    main()
