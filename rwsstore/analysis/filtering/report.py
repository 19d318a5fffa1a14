"""Everything that synaptic filtering finds out about a network, in one piece."""

__all__ = ["FilteringReport"]

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rwsstore.analysis.filtering.curves import FilterCurve, FilteringCurves
from rwsstore.analysis.filtering.scores import (
    KINDS,
    SCORES,
    LayerScores,
    ScoringOptions,
    score_layers,
)
from rwsstore.evaluation import Figure
from rwsstore.evaluation.writing import csv_text, ends

MEAN = "mean"
_COLUMNS = (
    "layer", "filter",
    *(f"{name}{end}" for name in SCORES for end in ("", "_low", "_high")),
    "kind", "clear",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class FilteringReport:
    """Curves, scores and verdicts.

    Attributes:
        curves: as measured.
        options: how they were scored.
        scores: layer by layer, shallowest first.
        dataset: name of the images.
    """

    curves: FilteringCurves
    options: ScoringOptions
    scores: tuple[LayerScores, ...]
    dataset: str

    @classmethod
    def of(
        cls, curves: FilteringCurves, options: ScoringOptions | None = None, *, dataset: str = ""
    ) -> "FilteringReport":
        """Score curves."""
        chosen = options or ScoringOptions()
        return cls(curves, chosen, score_layers(curves, chosen), dataset)

    @property
    def counts(self) -> dict[str, int]:
        """How many layers are of each kind."""
        return {kind: sum(layer.kind == kind for layer in self.scores) for kind in KINDS}

    def undefined(self) -> tuple[str, ...]:
        """Say in words which scores are not defined, and why."""
        floor = self.options.floor(self.curves.classes)
        said = []
        for curve in self.curves.curves:
            firsts = (
                ("accuracy", curve.accuracy, "S1 and S3"),
                ("FGSM accuracy", curve.attacked_accuracy, "S2 and S3"),
            )
            said += [
                f"{curve.layer}, {curve.filter}: {names} are not defined, for {what} at the first "
                f"threshold is {float(values[0]):.1f} %, not above {floor:.1f} %"
                for what, values, names in firsts
                if float(values[0]) <= floor
            ]
        return tuple(said)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values; what is not defined is null."""
        measured, resampling = self.curves.options, self.options.resampling
        return {
            "dataset": self.dataset,
            "images": self.curves.images,
            "classes": self.curves.classes,
            "epsilon": measured.epsilon,
            "filters": list(measured.filters),
            "above_chance": self.options.above_chance,
            "tolerance": self.options.tolerance,
            "decides": self.options.decides,
            "resamples": resampling.resamples,
            "confidence": resampling.confidence,
            "accuracy": self.curves.accuracy,
            "attacked_accuracy": self.curves.attacked_accuracy,
            "counts": self.counts,
            "layers": [self._layer(layer) for layer in self.scores],
        }

    def to_csv(self) -> str:
        """A row for each layer and filter, and one for the mean over the filters."""
        return csv_text(_COLUMNS, self._rows())

    def _rows(self) -> Iterator[list[str]]:
        for layer in self.scores:
            verdict = [layer.kind or "", "yes" if layer.clear else "no"]
            for name, scores in layer.by_filter.items():
                yield [layer.layer, name, *_cells(scores), "", ""]
            yield [layer.layer, MEAN, *_cells(layer.mean), *verdict]

    def _layer(self, layer: LayerScores) -> dict[str, Any]:
        return {
            "name": layer.layer,
            "kind": layer.kind,
            "clear": layer.clear,
            "scores": _scores(layer.mean),
            "filters": {
                curve.filter: {
                    "scores": _scores(layer.by_filter[curve.filter]),
                    **_curve(curve),
                }
                for curve in self.curves.of(layer.layer)
            },
        }


def _curve(curve: FilterCurve) -> dict[str, list[float]]:
    return {
        "thresholds": curve.thresholds.tolist(),
        "remaining": curve.remaining.tolist(),
        "accuracy": curve.accuracy.tolist(),
        "attacked_accuracy": curve.attacked_accuracy.tolist(),
    }


def _scores(scores: Mapping[str, Figure | None]) -> dict[str, Any]:
    return {
        name: None
        if figure is None
        else {
            "value": figure.value,
            "interval": figure.interval.model_dump() if figure.interval else None,
        }
        for name, figure in scores.items()
    }


def _cells(scores: Mapping[str, Figure | None]) -> Iterator[str]:
    for figure in scores.values():
        yield "" if figure is None else f"{figure.value:.4f}"
        yield from ends(None if figure is None else figure.interval)
