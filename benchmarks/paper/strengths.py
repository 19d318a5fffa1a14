"""The bundled patches at other strengths: Figure 7, one at a time; Figure 8, two at once.

The best strengths are chosen on the validation images and reported on the test images. Pairs of
corruptions stand in the order in which a camera meets them: weather, blur, noise, digital.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import combinations, product
from statistics import fmean
from typing import Any

from torch import Tensor

from benchmarks.paper import pages
from benchmarks.paper.pages import CLEAN, COLOURS, LINE, PATCHED, table
from benchmarks.paper.study import Study
from rwsstore.corruptions import CORRUPTIONS, corrupt
from rwsstore.data import ImageSet
from rwsstore.drawing import frame, new_figure, panels
from rwsstore.errors import ConfigError
from rwsstore.patches import Patch

Curves = Mapping[tuple[str, int | None], Sequence[float]]
"""Accuracy in percent at each α of the settings: of a corruption's patch, or the mean over all; by
"test" or "validation" images and their severity, None where they are clean."""


def run_alpha(study: Study) -> None:
    """Figure 7: the strength α against severity, and TA, on five corruptions."""
    names, settings = study.settings.corruptions, study.settings.alpha
    patches = study.patches(names)
    found = {name: _curves(study, name, patches[name]) for name in study.each("alpha", patches)}
    each = list(found.values())
    mean = {which: _mean([one[which] for one in each]) for which in each[0]}
    sentences = []
    for severity in settings.severities:
        places = best_place(mean, severity), settings.alphas.index(1.0), 0
        at, one, none = (_at(mean, severity, place) for place in places)
        told = {"severity": severity, "best": settings.alphas[places[0]], "at": at}
        sentences.append(pages.filled(study, "alpha_severity", **told, one=one, none=none))
    columns = [mean["test", severity] for severity in (*settings.severities, None)]
    pages.write_page(
        study,
        sentences=sentences,
        picture=_draw_alpha(study, {**found, "mean": mean}),
        means=table(
            ["α", *(f"RA, severity {severity}" for severity in settings.severities), "TA"],
            zip((f"{alpha:g}" for alpha in settings.alphas), *columns, strict=True),
            "Means over the corruptions, test images",
        ),
        best=[_bests(study, found, severity) for severity in settings.severities],
    )


def _curves(study: Study, corruption: str, patch: Patch) -> Curves:
    """One corruption's patch at every α."""
    live, settings = study.live([patch]), study.settings.alpha
    found: dict[tuple[str, int | None], Sequence[float]] = {}
    for kind, severity in (*product(("test", "validation"), settings.severities), ("test", None)):
        word = "clean" if severity is None else f"severity{severity}"
        shown = None if severity is None else corruption
        images = study.test if kind == "test" else study.validation
        curve = []
        for alpha in settings.alphas:
            # No patch is the same model for every corruption: its TA is measured once.
            owner = "none" if alpha == 0 and severity is None else corruption
            key, variant = f"{kind}/{word}/{owner}/{alpha:g}", live.variant({patch.digest: alpha})
            curve.append(study.seen(key, variant, shown, severity, images=images))
        found[kind, severity] = curve
    return found


def best_place(curves: Curves, severity: int) -> int:
    """Place of the α that is best on the validation images; the smallest among equals."""
    curve = curves["validation", severity]
    return max(range(len(curve)), key=lambda place: (curve[place], -place))


def _at(curves: Curves, severity: int, place: int) -> tuple[float, float]:
    return curves["test", severity][place], curves["test", None][place]


def _mean(rows: Sequence[Sequence[float]]) -> list[float]:
    return [fmean(column) for column in zip(*rows, strict=True)]


def _bests(study: Study, found: Mapping[str, Curves], severity: int) -> str:
    alphas = study.settings.alpha.alphas
    rows: list[list[Any]] = []
    for name, one in found.items():
        place = best_place(one, severity)
        best, full = _at(one, severity, place), _at(one, severity, alphas.index(1.0))
        rows.append([name, f"{alphas[place]:g}", best[0], full[0], best[1], full[1]])
    rows.append(["mean", "", *_mean([row[2:] for row in rows])])
    header = ["corruption", "best α", "RA at it", "RA at α = 1", "TA at it", "TA at α = 1"]
    return table(header, rows, f"Best α for severity {severity}")


def _draw_alpha(study: Study, shown: Mapping[str, Curves]) -> str:
    settings = study.settings.alpha
    figure = new_figure(3.4 * min(3, len(shown)), 2.7 * -(-len(shown) // 3) + 0.3)
    shades = (COLOURS[1], PATCHED, *COLOURS[2:5])
    for axes, (name, one) in zip(panels(figure, len(shown), 3), shown.items(), strict=True):
        for severity, colour in zip(settings.severities, shades, strict=False):
            ra, best = one["test", severity], best_place(one, severity)
            label = f"RA, severity {severity}"
            axes.plot(settings.alphas, ra, "o-", ms=3, color=colour, label=label)
            axes.plot([settings.alphas[best]], [ra[best]], "o", ms=8, mfc="none", color=colour)
        axes.plot(settings.alphas, one["test", None], "--", color=LINE, label="TA")
        frame(axes, x="α", y="accuracy in %", title=name.replace("_", " "))
    lines, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside upper left", ncols=4, frameon=False, fontsize=8)
    return pages.draw(study, "RA and TA against the strength", figure)


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
    """One pair on images with both corruptions, in percent."""

    pair: Pair
    ra: dict[str, float]  # by composition, the `FIXED` ones and `BEST`
    best: Strengths  # on validation images
    best_ta: float  # on clean images


class Composer:
    """The bundled patches of the studies' corruptions, two at a time."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self._patches = study.patches(study.settings.corruptions)
        self._live = study.live(self._patches.values())
        few = study.settings.compositions.validation_images
        self._chooser = study.some(study.validation, few)

    def compound(self, pair: Pair, severity: int) -> Compound:
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
        return Compound(pair, measured, best, self.ta(pair, best))

    def ta(self, pair: Pair, strengths: Strengths) -> float:
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
        key = f"{kind}/{what}/{owner}{on or 'none'}"
        return self.study.measure(key, predict, images, shown.labels)


def pairs(names: Sequence[str]) -> list[Pair]:
    order = sorted(names, key=lambda name: STAGES.index(CORRUPTIONS[name].group))
    return list(combinations(order, 2))


def both(study: Study, images: ImageSet, pair: Pair, severity: int) -> Tensor:
    """Images with one corruption after the other, uint8 [N, 3, H, W]."""
    first, second = pair
    once = study.corrupted(images, first, severity)
    return corrupt(once, second, severity, seed=study.settings.seed)


def run_compositions(study: Study) -> None:
    """Figure 8: two patches on images with two corruptions, and with one of them."""
    if len(study.settings.corruptions) < 2:
        raise ConfigError("corruptions names only one: there is no pair to compose patches for")
    composer, wanted = Composer(study), pairs(study.settings.corruptions)
    severities = study.settings.compositions.severities
    found: dict[int, list[Compound]] = {severity: [] for severity in severities}
    for severity, pair in study.each("compounds", list(product(severities, wanted))):
        found[severity].append(composer.compound(pair, severity))
    singles = {" + ".join(pair): composer.singles(pair) for pair in study.each("single", wanted)}
    singles["mean"] = _mean([*singles.values()])
    header = [
        "first + second", "first: none", "its patch", HALF, FULL, "second: none", "its patch",
        HALF, FULL, "clean: none", HALF, FULL,
    ]  # fmt: skip
    pages.write_page(
        study,
        best=BEST,
        sentences=[sentence(severity, compounds) for severity, compounds in found.items()],
        picture=_draw_compounds(study, found),
        compounds=[_compounds(severity, compounds) for severity, compounds in found.items()],
        alone=table(
            header,
            [[label, *row] for label, row in singles.items()],
            f"One corruption of the pair, severity {study.settings.severity}, or none",
        ),
    )


def _means(compounds: Sequence[Compound]) -> dict[str, float]:
    return {name: fmean(one.ra[name] for one in compounds) for name in compounds[0].ra}


def sentence(severity: int, compounds: Sequence[Compound]) -> str:
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


def _compounds(severity: int, compounds: Sequence[Compound]) -> str:
    means = _means(compounds)
    rows: list[list[object]] = [
        [" + ".join(one.pair), *one.ra.values(), "{:g}, {:g}".format(*one.best), one.best_ta]
        for one in compounds
    ]
    rows.append(["mean", *means.values(), "", fmean(one.best_ta for one in compounds)])
    header = ["first + second", *means, "its α", "TA at it"]
    return table(header, rows, f"Two corruptions at severity {severity}")


def _draw_compounds(study: Study, found: Mapping[int, Sequence[Compound]]) -> str:
    colours = (CLEAN, *COLOURS[1:3], PATCHED, *COLOURS[3:5])
    count = len(next(iter(found.values())))
    figure = new_figure(2.5 + 1.0 * count, 2.6 * len(found) + 0.6)
    grid = figure.subplots(len(found), 1, squeeze=False)[:, 0]
    for axes, (severity, compounds) in zip(grid, found.items(), strict=True):
        names = ["\n+ ".join(one.pair).replace("_", " ") for one in compounds]
        groups = {name: [one.ra[name] for one in compounds] for name in (*FIXED, BEST)}
        pages.bars(pages.tidy(axes), names, groups, colours)
        axes.set_title(f"severity {severity}", fontsize=10, loc="left")
    shown = grid[0].get_legend_handles_labels()
    figure.legend(*shown, loc="outside upper left", ncols=6, frameon=False, fontsize=8)
    return pages.draw(study, "Accuracy under two corruptions, by which patches are on", figure)
