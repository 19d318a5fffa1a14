"""Figure 8: two patches at once, on images with two corruptions and on images with one of them.

    python -m benchmarks.paper.compositions --data NAME:PATH

All pairs of the studies' corruptions, in the order in which a camera meets them: weather, blur,
noise, digital. The best pair of strengths is chosen on validation images for each pair.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import combinations, product
from pathlib import Path
from statistics import fmean

from torch import Tensor

from benchmarks.paper.pages import (
    CLEAN,
    COLOURS,
    PATCHED,
    Picture,
    Table,
    new_figure,
    save_figure,
    tidy,
    write_blocks,
)
from benchmarks.paper.study import Study, start
from rwsstore.corruptions import CORRUPTIONS, corrupt
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError
from rwsstore.measure.accuracy import Predict
from rwsstore.patches import Patch

Images = Callable[[], Tensor]
Pair = tuple[str, str]
Strengths = tuple[float, float]
"""α of the first corruption's patch and of the second's; 0: it is not on."""

STAGES = ("weather", "blur", "noise", "digital")
"""What light meets first: the scene, the lens, the sensor, the processing."""

FIXED: Mapping[str, Strengths] = {
    "no patch": (0.0, 0.0),
    "first patch": (1.0, 0.0),
    "second patch": (0.0, 1.0),
    "half + half": (0.5, 0.5),
    "full + full": (1.0, 1.0),
}
BEST = "best α"


@dataclass(frozen=True)
class Compound:
    """One pair on images with both corruptions.

    Attributes:
        pair: first and second corruption.
        severity: of both.
        ra: accuracy in percent by composition, the `FIXED` ones and `BEST`.
        best: the strengths that were best on validation images.
        best_ta: accuracy on clean images at these.
    """

    pair: Pair
    severity: int
    ra: dict[str, float]
    best: Strengths
    best_ta: float

    @property
    def label(self) -> str:
        """As in tables."""
        return " + ".join(self.pair)


class Composer:
    """The bundled patches of the studies' corruptions, two at a time."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self._patches: dict[str, Patch] = study.patches(study.settings.corruptions)
        self._live = study.live(self._patches.values())
        few = min(study.settings.compositions.validation_images, len(study.validation))
        self._chooser = study.validation.limit(few, study.settings.seed)

    def predict(self, pair: Pair, strengths: Strengths) -> Predict:
        """The clean model with both patches on."""
        chosen = zip(pair, strengths, strict=True)
        return self._live.variant({self._patches[name].digest: a for name, a in chosen})

    def compound(self, pair: Pair, severity: int) -> Compound:
        """Measure one pair at one severity."""
        best = self._best(pair, severity)
        images = cache(partial(both, self.study, self.study.test, pair, severity))
        measured = {
            name: self._measure(f"severity{severity}", pair, strengths, images)
            for name, strengths in {**FIXED, BEST: best}.items()
        }
        return Compound(pair, severity, measured, best, self.ta(pair, best))

    def ta(self, pair: Pair, strengths: Strengths) -> float:
        """Accuracy on clean images."""
        return self._measure("clean", pair, strengths, lambda: self.study.test.images)

    def alone(self, pair: Pair, place: int, strengths: Strengths) -> float:
        """Accuracy where the images have only one corruption of the pair, at the full severity."""
        name = pair[place]
        images = partial(self.study.corrupted, self.study.test, name)
        return self._measure(f"alone/{name}", pair, strengths, images)

    def _measure(
        self, what: str, pair: Pair, strengths: Strengths, images: Images, kind: str = "test"
    ) -> float:
        shown = self._chooser if kind == "validation" else self.study.test
        on = "+".join(f"{name}={a:g}" for name, a in zip(pair, strengths, strict=True) if a)
        # Compound images are the pair's own, whatever is on; all others are measured once.
        owner = f"{pair[0]}>{pair[1]}/" if what.startswith("severity") else ""
        key = f"{kind}/{what}/{owner}{on or 'none'}"
        return self.study.measure(key, self.predict(pair, strengths), images, shown.labels)

    def _best(self, pair: Pair, severity: int) -> Strengths:
        images = cache(partial(both, self.study, self._chooser, pair, severity))
        alphas = self.study.settings.compositions.alphas
        grid: list[Strengths] = [(first, second) for first in alphas for second in alphas]
        found = {
            strengths: self._measure(f"severity{severity}", pair, strengths, images, "validation")
            for strengths in grid
        }
        return max(grid, key=lambda strengths: (found[strengths], -sum(strengths)))


def pairs(names: Sequence[str]) -> list[Pair]:
    """All pairs, each in the order of `STAGES`."""
    order = sorted(names, key=lambda name: STAGES.index(CORRUPTIONS[name].group))
    return list(combinations(order, 2))


def both(study: Study, images: ImageSet, pair: Pair, severity: int) -> Tensor:
    """Images with one corruption after the other, uint8 [N, 3, H, W]."""
    first, second = pair
    once = study.corrupted(images, first, severity)
    return corrupt(once, second, severity, seed=study.settings.seed)


def run(study: Study) -> None:
    """Measure, write the page and the picture."""
    if len(study.settings.corruptions) < 2:
        raise ConfigError("corruptions names only one: there is no pair to compose patches for")
    composer, wanted = Composer(study), pairs(study.settings.corruptions)
    severities = study.settings.compositions.severities
    found: dict[int, list[Compound]] = {severity: [] for severity in severities}
    with study.progress.task("compositions", total=len(wanted) * (1 + len(severities))) as task:
        for severity, pair in product(severities, wanted):
            found[severity].append(composer.compound(pair, severity))
            task.advance(note=f"{' + '.join(pair)}, severity {severity}")
        singles = []
        for pair in wanted:
            singles.append(_singles(composer, pair))
            task.advance(note=f"{' + '.join(pair)}, one at a time")
    _write(study, found, singles)


@dataclass(frozen=True)
class Singles:
    """One pair on images with one corruption of it, or none; percent by composition.

    Attributes:
        pair: of corruptions.
        first: on images with the first.
        second: on images with the second.
        clean: on clean images.
    """

    pair: Pair
    first: dict[str, float]
    second: dict[str, float]
    clean: dict[str, float]


def _singles(composer: Composer, pair: Pair) -> Singles:
    def alone(place: int) -> dict[str, float]:
        return {name: composer.alone(pair, place, strengths) for name, strengths in FIXED.items()}

    clean = {name: composer.ta(pair, strengths) for name, strengths in FIXED.items()}
    return Singles(pair, alone(0), alone(1), clean)


def _write(study: Study, found: Mapping[int, list[Compound]], singles: Sequence[Singles]) -> None:
    about = (
        "Accuracy in %. Every image has both corruptions of a pair, the first and then the second, "
        f"at the same severity. {BEST} is chosen on validation images for each pair."
    )
    blocks: list[str | Table | Picture] = [
        about,
        *(sentence(severity, compounds) for severity, compounds in found.items()),
        Picture(_draw(study, found), "Accuracy under two corruptions, by which patches are on"),
        *(
            Table(*_compounds(compounds), title=f"Two corruptions at severity {severity}")
            for severity, compounds in found.items()
        ),
        Table(
            *_alone(singles),
            title=f"One corruption of the pair, severity {study.settings.severity}, or none",
        ),
    ]
    write_blocks(study, "Patches composed (Figure 8 in kind)", blocks)


def sentence(severity: int, compounds: Sequence[Compound]) -> str:
    """Say what composing buys at one severity."""
    mean = {name: fmean(one.ra[name] for one in compounds) for name in compounds[0].ra}
    better = [max(one.ra["first patch"], one.ra["second patch"]) for one in compounds]
    wins = sum(
        one.ra["half + half"] > single for one, single in zip(compounds, better, strict=True)
    )
    return (
        f"Severity {severity}, means over {len(compounds)} pairs: without a patch "
        f"{mean['no patch']:.1f}, with the better one of the two patches, known only afterwards, "
        f"{fmean(better):.1f}, half + half {mean['half + half']:.1f}, full + full "
        f"{mean['full + full']:.1f}, with the best α {mean[BEST]:.1f}. Half + half is above the "
        f"better one patch on {wins} of {len(compounds)} pairs."
    )


def _compounds(compounds: Sequence[Compound]) -> tuple[list[str], list[list[str]]]:
    names = list(compounds[0].ra)
    header = ["first + second", *names, "its α", "TA at it"]
    rows = [
        [
            one.label,
            *(f"{one.ra[name]:.1f}" for name in names),
            f"{one.best[0]:g}, {one.best[1]:g}",
            f"{one.best_ta:.1f}",
        ]
        for one in compounds
    ]
    means = [f"{fmean(one.ra[name] for one in compounds):.1f}" for name in names]
    return header, [*rows, ["mean", *means, "", f"{fmean(one.best_ta for one in compounds):.1f}"]]


def _alone(singles: Sequence[Singles]) -> tuple[list[str], list[list[str]]]:
    header = [
        "first + second",
        "first: none", "its patch", "half + half", "full + full",
        "second: none", "its patch", "half + half", "full + full",
        "clean: none", "half + half", "full + full",
    ]  # fmt: skip
    both_on = ("half + half", "full + full")
    shown = [
        [one.first[name] for name in ("no patch", "first patch", *both_on)]
        + [one.second[name] for name in ("no patch", "second patch", *both_on)]
        + [one.clean[name] for name in ("no patch", *both_on)]
        for one in singles
    ]
    labels = [*(" + ".join(one.pair) for one in singles), "mean"]
    shown.append([fmean(column) for column in zip(*shown, strict=True)])
    return header, [
        [label, *(f"{number:.1f}" for number in numbers)]
        for label, numbers in zip(labels, shown, strict=True)
    ]


def _draw(study: Study, found: Mapping[int, list[Compound]]) -> Path:
    looks = {
        "no patch": CLEAN, "first patch": COLOURS[1], "second patch": COLOURS[2],
        "half + half": PATCHED, "full + full": COLOURS[3], BEST: COLOURS[4],
    }  # fmt: skip
    count = len(next(iter(found.values())))
    figure = new_figure(2.5 + 1.0 * count, 2.6 * len(found) + 0.6)
    for row, (severity, compounds) in enumerate(found.items(), start=1):
        axes = tidy(figure.add_subplot(len(found), 1, row))
        for place, (name, colour) in enumerate(looks.items()):
            shift = 0.84 * ((place + 0.5) / len(looks) - 0.5)
            heights = [one.ra[name] for one in compounds]
            axes.bar([x + shift for x in range(count)], heights, 0.84 / len(looks), color=colour,
                     label=name if row == 1 else None)  # fmt: skip
        labels = [one.label.replace("_", " ").replace(" + ", "\n+ ") for one in compounds]
        axes.set_xticks(range(count), labels, fontsize=8)
        axes.set_ylim(0, 100)
        axes.set_ylabel("accuracy in %")
        axes.set_title(f"severity {severity}", fontsize=10, loc="left")
    figure.legend(loc="outside upper left", ncols=len(looks), frameon=False, fontsize=8)
    return save_figure(study, figure)


def main() -> None:
    start("compositions", run, __doc__)


if __name__ == "__main__":
    main()
