"""Figure 8: two patches at once, on images with two corruptions and on images with one of them.

All pairs of the studies' corruptions, in the order in which a camera meets them: weather, blur,
noise, digital. The best pair of strengths is chosen on validation images for each pair.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import combinations, product
from statistics import fmean

from torch import Tensor

from benchmarks.paper.pages import (
    CLEAN,
    COLOURS,
    PATCHED,
    Picture,
    Table,
    bars,
    draw,
    tidy,
    write_page,
)
from benchmarks.paper.study import Study
from rwsstore.corruptions import CORRUPTIONS, corrupt
from rwsstore.data import ImageSet
from rwsstore.drawing import new_figure
from rwsstore.errors import ConfigError

Images = Callable[[], Tensor]
Pair = tuple[str, str]
Strengths = tuple[float, float]
"""α of the first corruption's patch and of the second's; 0: it is not on."""

STAGES = ("weather", "blur", "noise", "digital")
"""What light meets first: the scene, the lens, the sensor, the processing."""

NONE, FIRST, SECOND, HALF, FULL = (
    "no patch", "first patch", "second patch", "half + half", "full + full",
)  # fmt: skip
FIXED: Mapping[str, Strengths] = {
    NONE: (0.0, 0.0),
    FIRST: (1.0, 0.0),
    SECOND: (0.0, 1.0),
    HALF: (0.5, 0.5),
    FULL: (1.0, 1.0),
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
        self._patches = study.patches(study.settings.corruptions)
        self._live = study.live(self._patches.values())
        few = min(study.settings.compositions.validation_images, len(study.validation))
        self._chooser = study.validation.limit(few, study.settings.seed)

    def compound(self, pair: Pair, severity: int) -> Compound:
        """Measure one pair at one severity."""
        word, alphas = f"severity{severity}", self.study.settings.compositions.alphas
        shown = cache(partial(both, self.study, self._chooser, pair, severity))
        found = {
            (first, second): self._measure(word, pair, (first, second), shown, "validation")
            for first, second in product(alphas, repeat=2)
        }
        best = max(found, key=lambda strengths: (found[strengths], -sum(strengths)))
        images = cache(partial(both, self.study, self.study.test, pair, severity))
        measured = {
            name: self._measure(word, pair, strengths, images)
            for name, strengths in {**FIXED, BEST: best}.items()
        }
        return Compound(pair, severity, measured, best, self.ta(pair, best))

    def ta(self, pair: Pair, strengths: Strengths) -> float:
        """Accuracy on clean images."""
        return self._measure("clean", pair, strengths, lambda: self.study.test.images)

    def singles(self, pair: Pair) -> list[float]:
        """A row of the last table: images with one corruption of the pair at the full severity."""
        row = []
        for name, own in zip(pair, (FIRST, SECOND), strict=True):
            images = partial(self.study.corrupted, self.study.test, name)
            row += [
                self._measure(f"alone/{name}", pair, FIXED[on], images)
                for on in (NONE, own, HALF, FULL)
            ]
        return [*row, *(self.ta(pair, FIXED[on]) for on in (NONE, HALF, FULL))]

    def _measure(
        self, what: str, pair: Pair, strengths: Strengths, images: Images, kind: str = "test"
    ) -> float:
        shown = self._chooser if kind == "validation" else self.study.test
        chosen = dict(zip(pair, strengths, strict=True))
        on = "+".join(f"{name}={alpha:g}" for name, alpha in chosen.items() if alpha)
        # Compound images are the pair's own, whatever is on; all others are measured once.
        owner = f"{pair[0]}>{pair[1]}/" if what.startswith("severity") else ""
        predict = self._live.variant({self._patches[name].digest: a for name, a in chosen.items()})
        return self.study.measure(
            f"{kind}/{what}/{owner}{on or 'none'}", predict, images, shown.labels
        )


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
    singles: dict[str, list[float]] = {}
    with study.progress.task("compositions", total=len(wanted) * (1 + len(severities))) as task:
        for severity, pair in product(severities, wanted):
            found[severity].append(composer.compound(pair, severity))
            task.advance(note=f"{' + '.join(pair)}, severity {severity}")
        for pair in wanted:
            singles[" + ".join(pair)] = composer.singles(pair)
            task.advance(note=f"{' + '.join(pair)}, one at a time")
    singles["mean"] = [fmean(column) for column in zip(*singles.values(), strict=True)]
    write_page(
        study,
        best=BEST,
        sentences=[sentence(severity, compounds) for severity, compounds in found.items()],
        picture=_draw(study, found),
        compounds=[_compounds(severity, compounds) for severity, compounds in found.items()],
        alone=Table(
            [
                "first + second", "first: none", "its patch", HALF, FULL, "second: none",
                "its patch", HALF, FULL, "clean: none", HALF, FULL,
            ],
            [[label, *row] for label, row in singles.items()],
            f"One corruption of the pair, severity {study.settings.severity}, or none",
        ),
    )  # fmt: skip


def _means(compounds: Sequence[Compound]) -> dict[str, float]:
    return {name: fmean(one.ra[name] for one in compounds) for name in compounds[0].ra}


def sentence(severity: int, compounds: Sequence[Compound]) -> str:
    """Say what composing buys at one severity."""
    mean = _means(compounds)
    better = [max(one.ra[FIRST], one.ra[SECOND]) for one in compounds]
    wins = sum(one.ra[HALF] > single for one, single in zip(compounds, better, strict=True))
    return (
        f"Severity {severity}, means over {len(compounds)} pairs: without a patch "
        f"{mean[NONE]:.1f}, with the better one of the two patches, known only afterwards, "
        f"{fmean(better):.1f}, half + half {mean[HALF]:.1f}, full + full "
        f"{mean[FULL]:.1f}, with the best α {mean[BEST]:.1f}. Half + half is above the "
        f"better one patch on {wins} of {len(compounds)} pairs."
    )


def _compounds(severity: int, compounds: Sequence[Compound]) -> Table:
    rows: list[list[object]] = [
        [one.label, *one.ra.values(), f"{one.best[0]:g}, {one.best[1]:g}", one.best_ta]
        for one in compounds
    ]
    means = _means(compounds)
    rows.append(["mean", *means.values(), "", fmean(one.best_ta for one in compounds)])
    header = ["first + second", *means, "its α", "TA at it"]
    return Table(header, rows, f"Two corruptions at severity {severity}")


def _draw(study: Study, found: Mapping[int, Sequence[Compound]]) -> Picture:
    colours = (CLEAN, *COLOURS[1:3], PATCHED, *COLOURS[3:5])
    count = len(next(iter(found.values())))
    figure = new_figure(2.5 + 1.0 * count, 2.6 * len(found) + 0.6)
    grid = figure.subplots(len(found), 1, squeeze=False)[:, 0]
    for axes, (severity, compounds) in zip(grid, found.items(), strict=True):
        names = [one.label.replace("_", " ").replace(" + ", "\n+ ") for one in compounds]
        groups = {name: [one.ra[name] for one in compounds] for name in (*FIXED, BEST)}
        bars(tidy(axes), names, groups, colours)
        axes.set_title(f"severity {severity}", fontsize=10, loc="left")
    shown = grid[0].get_legend_handles_labels()
    figure.legend(*shown, loc="outside upper left", ncols=6, frameon=False, fontsize=8)
    return draw(study, "Accuracy under two corruptions, by which patches are on", figure)
