"""Figure 7: the strength α against severity, and TA, on five corruptions.

    python -m benchmarks.paper.alpha --data NAME:PATH

The bundled patches. The best α of a severity is chosen on the validation images and reported on
the test images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

from benchmarks.paper.pages import (
    COLOURS,
    LINE,
    PATCHED,
    Picture,
    Table,
    new_figure,
    save_figure,
    tidy,
    write_blocks,
)  # fmt: skip
from benchmarks.paper.study import Study, start
from rwsstore.data import ImageSet
from rwsstore.patches import Patch

Curve = list[float]
"""Accuracy in percent at each α of the settings."""


@dataclass(frozen=True)
class Curves:
    """One corruption.

    Attributes:
        ra: on test images, by severity.
        chosen: on validation images, by severity.
        ta: on clean test images.
    """

    ra: dict[int, Curve]
    chosen: dict[int, Curve]
    ta: Curve

    def best(self, severity: int) -> int:
        """Place of the α that is best on the validation images; the smallest among equals."""
        return _best(self.chosen[severity])


def curves(study: Study, corruption: str, patch: Patch) -> Curves:
    """Measure one corruption's patch at every α."""
    live = study.live([patch])

    def curve(kind: str, images: ImageSet, severity: int | None) -> Curve:
        """At severity None the images are clean."""
        shown = (
            images.images
            if severity is None
            else partial(study.corrupted, images, corruption, severity)
        )
        word = "clean" if severity is None else f"severity{severity}"
        found = []
        for alpha in study.settings.alpha.alphas:
            # No patch is the same model for every corruption: its TA is measured once.
            owner = "none" if alpha == 0 and severity is None else corruption
            variant = live.variant({patch.digest: alpha})
            key = f"{kind}/{word}/{owner}/{alpha:g}"
            found.append(study.measure(key, variant, shown, images.labels))
        return found

    severities = study.settings.alpha.severities
    return Curves(
        ra={severity: curve("test", study.test, severity) for severity in severities},
        chosen={
            severity: curve("validation", study.validation, severity) for severity in severities
        },
        ta=curve("test", study.test, None),
    )


def run(study: Study) -> None:
    """Measure, write the page and the picture."""
    names = study.settings.corruptions
    found = {}
    with study.progress.task("alpha", total=len(names)) as task:
        for name, patch in study.patches(names).items():
            found[name] = curves(study, name, patch)
            task.advance(note=name)
    mean = _mean(list(found.values()))
    about = (
        f"Means over {', '.join(names)}; the patches as bundled, made for severity "
        f"{study.settings.severity}. A circle marks the α that is best on validation images."
    )
    blocks: list[str | Table | Picture] = [
        about,
        *(_sentence(study, mean, severity) for severity in study.settings.alpha.severities),
        Picture(_draw(study, found, mean), "RA and TA against the strength"),
        Table(*_means(study, mean), title="Means over the corruptions, test images"),
        *(
            Table(*_bests(study, found, severity), title=f"Best α for severity {severity}")
            for severity in study.settings.alpha.severities
        ),
    ]
    write_blocks(study, "Strength α (Figure 7 in kind)", blocks)


def _best(curve: Curve) -> int:
    return max(range(len(curve)), key=lambda place: (curve[place], -place))


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
    best, one = mean.best(severity), alphas.index(1.0)
    ra = mean.ra[severity]
    return (
        f"At severity {severity} one α for all, chosen on validation images, is "
        f"{alphas[best]:g}: RA {ra[best]:.1f} % and TA {mean.ta[best]:.1f} %, against "
        f"{ra[one]:.1f} % and {mean.ta[one]:.1f} % at α = 1 and {ra[0]:.1f} % and "
        f"{mean.ta[0]:.1f} % without a patch."
    )


def _means(study: Study, mean: Curves) -> tuple[list[str], list[list[str]]]:
    severities = study.settings.alpha.severities
    header = ["α", *(f"RA, severity {severity}" for severity in severities), "TA"]
    columns = [mean.ra[severity] for severity in severities] + [mean.ta]
    rows = [
        [f"{alpha:g}", *(f"{column[place]:.1f}" for column in columns)]
        for place, alpha in enumerate(study.settings.alpha.alphas)
    ]
    return header, rows


def _bests(
    study: Study, found: dict[str, Curves], severity: int
) -> tuple[list[str], list[list[str]]]:
    alphas = study.settings.alpha.alphas
    header = ["corruption", "best α", "RA at it", "RA at α = 1", "TA at it", "TA at α = 1"]
    one, rows, numbers = alphas.index(1.0), [], []
    for name, curves_of in found.items():
        best, ra, ta = curves_of.best(severity), curves_of.ra[severity], curves_of.ta
        numbers.append((ra[best], ra[one], ta[best], ta[one]))
        rows.append([name, f"{alphas[best]:g}", *(f"{number:.1f}" for number in numbers[-1])])
    means = [f"{fmean(column):.1f}" for column in zip(*numbers, strict=True)]
    return header, [*rows, ["mean", "", *means]]


def _draw(study: Study, found: dict[str, Curves], mean: Curves) -> Path:
    alphas = study.settings.alpha.alphas
    panels = {**found, "mean": mean}
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = new_figure(3.4 * columns, 2.7 * rows + 0.3)
    shades = (COLOURS[1], PATCHED, *COLOURS[2:5])
    colours = dict(zip(study.settings.alpha.severities, shades, strict=False))
    for place, (name, one) in enumerate(panels.items(), start=1):
        axes = tidy(figure.add_subplot(rows, columns, place))
        for severity, ra in one.ra.items():
            axes.plot(
                alphas, ra, "o-", ms=3, color=colours[severity], label=f"RA, severity {severity}"
            )
            best = one.best(severity)
            axes.plot([alphas[best]], [ra[best]], "o", ms=8, mfc="none", color=colours[severity])
        axes.plot(alphas, one.ta, "--", color=LINE, label="TA")
        axes.set_title(name.replace("_", " "), fontsize=10)
        axes.set_xlabel("α")
        axes.set_ylabel("accuracy in %")
        if place == 1:
            figure.legend(loc="outside upper left", ncols=4, frameon=False, fontsize=8)
    return save_figure(study, figure)


def main() -> None:
    start("alpha", run, __doc__)


if __name__ == "__main__":
    main()
