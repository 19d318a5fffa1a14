"""Figure 7: the strength α against severity, and TA, on five corruptions.

The bundled patches. The best α of a severity is chosen on the validation images and reported on
the test images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from benchmarks.paper.pages import COLOURS, LINE, PATCHED, Picture, Table, draw, write_page
from benchmarks.paper.study import Study
from rwsstore.data import ImageSet
from rwsstore.drawing import frame, new_figure, panels
from rwsstore.patches import Patch

Curve = Sequence[float]
"""Accuracy in percent at each α of the settings."""


@dataclass(frozen=True)
class Curves:
    """One corruption, or the mean over all.

    Attributes:
        ra: on test images, by severity.
        chosen: on validation images, by severity.
        ta: on clean test images.
    """

    ra: Mapping[int, Curve]
    chosen: Mapping[int, Curve]
    ta: Curve

    def best(self, severity: int) -> int:
        """Place of the α that is best on the validation images; the smallest among equals."""
        curve = self.chosen[severity]
        return max(range(len(curve)), key=lambda place: (curve[place], -place))

    def at(self, severity: int, place: int) -> tuple[float, float]:
        """RA and TA."""
        return self.ra[severity][place], self.ta[place]


def measure(study: Study, corruption: str, patch: Patch) -> Curves:
    """One corruption's patch at every α."""
    live, settings = study.live([patch]), study.settings.alpha

    def curve(kind: str, images: ImageSet, severity: int | None) -> Curve:
        """At severity None the images are clean."""
        word = "clean" if severity is None else f"severity{severity}"
        found = []
        for alpha in settings.alphas:
            # No patch is the same model for every corruption: its TA is measured once.
            owner = "none" if alpha == 0 and severity is None else corruption
            found.append(
                study.seen(
                    f"{kind}/{word}/{owner}/{alpha:g}", live.variant({patch.digest: alpha}),
                    None if severity is None else corruption, severity, images=images,
                )
            )  # fmt: skip
        return found

    ra = {severity: curve("test", study.test, severity) for severity in settings.severities}
    chosen = {
        severity: curve("validation", study.validation, severity)
        for severity in settings.severities
    }
    return Curves(ra, chosen, curve("test", study.test, None))


def run(study: Study) -> None:
    """Measure, write the page and the picture."""
    names, severities = study.settings.corruptions, study.settings.alpha.severities
    found = {}
    with study.progress.task("alpha", total=len(names)) as task:
        for name, patch in study.patches(names).items():
            found[name] = measure(study, name, patch)
            task.advance(note=name)
    mean = _mean(list(found.values()))
    columns = [*(mean.ra[severity] for severity in severities), mean.ta]
    write_page(
        study,
        names=", ".join(names),
        sentences=[_sentence(study, mean, severity) for severity in severities],
        picture=_draw(study, {**found, "mean": mean}),
        means=Table(
            ["α", *(f"RA, severity {severity}" for severity in severities), "TA"],
            zip((f"{alpha:g}" for alpha in study.settings.alpha.alphas), *columns, strict=True),
            "Means over the corruptions, test images",
        ),
        best=[_bests(study, found, severity) for severity in severities],
    )


def _mean(found: Sequence[Curves]) -> Curves:
    def over(each: Sequence[Curve]) -> Curve:
        return [fmean(column) for column in zip(*each, strict=True)]

    return Curves(
        ra={severity: over([one.ra[severity] for one in found]) for severity in found[0].ra},
        chosen={
            severity: over([one.chosen[severity] for one in found]) for severity in found[0].chosen
        },
        ta=over([one.ta for one in found]),
    )


def _sentence(study: Study, mean: Curves, severity: int) -> str:
    alphas = study.settings.alpha.alphas
    best = mean.best(severity)
    (ra, ta), (ra_one, ta_one), (ra_none, ta_none) = (
        mean.at(severity, place) for place in (best, alphas.index(1.0), 0)
    )
    return (
        f"At severity {severity} one α for all, chosen on validation images, is "
        f"{alphas[best]:g}: RA {ra:.1f} % and TA {ta:.1f} %, against {ra_one:.1f} % and "
        f"{ta_one:.1f} % at α = 1 and {ra_none:.1f} % and {ta_none:.1f} % without a patch."
    )


def _bests(study: Study, found: Mapping[str, Curves], severity: int) -> Table:
    alphas, rows, numbers = study.settings.alpha.alphas, list[list[object]](), list[Curve]()
    for name, one in found.items():
        best = one.best(severity)
        (ra, ta), (ra_one, ta_one) = (
            one.at(severity, place) for place in (best, alphas.index(1.0))
        )
        numbers.append((ra, ra_one, ta, ta_one))
        rows.append([name, f"{alphas[best]:g}", *numbers[-1]])
    means = [fmean(column) for column in zip(*numbers, strict=True)]
    header = ["corruption", "best α", "RA at it", "RA at α = 1", "TA at it", "TA at α = 1"]
    return Table(header, [*rows, ["mean", "", *means]], f"Best α for severity {severity}")


def _draw(study: Study, shown: Mapping[str, Curves]) -> Picture:
    alphas = study.settings.alpha.alphas
    figure = new_figure(3.4 * min(3, len(shown)), 2.7 * -(-len(shown) // 3) + 0.3)
    shades = (COLOURS[1], PATCHED, *COLOURS[2:5])
    for axes, (name, one) in zip(panels(figure, len(shown), 3), shown.items(), strict=True):
        for (severity, ra), colour in zip(one.ra.items(), shades, strict=False):
            label, best = f"RA, severity {severity}", one.best(severity)
            axes.plot(alphas, ra, "o-", ms=3, color=colour, label=label)
            axes.plot([alphas[best]], [ra[best]], "o", ms=8, mfc="none", color=colour)
        axes.plot(alphas, one.ta, "--", color=LINE, label="TA")
        frame(axes, x="α", y="accuracy in %", title=name.replace("_", " "))
    lines, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside upper left", ncols=4, frameon=False, fontsize=8)
    return draw(study, "RA and TA against the strength", figure)
