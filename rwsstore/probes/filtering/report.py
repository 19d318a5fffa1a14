"""Scores of layers, and everything that synaptic filtering finds out about a network.

Pravin et al., "Fragility, Robustness and Antifragility in Deep Learning", 2023 (arXiv 2312.09821).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from math import ceil
from typing import Any

import torch
from torch import Tensor

from rwsstore.drawing import draw_heat_map, frame, mark_groups, new_figure, png_bytes
from rwsstore.errors import ConfigError
from rwsstore.measure import Figure, Resampling, bootstrap, mean_of
from rwsstore.models import short_names
from rwsstore.probes.filtering.curves import FILTERS, FilterCurve, FilteringCurves
from rwsstore.probes.report import Report
from rwsstore.tables import Column, Table, csv_text, ends, interval_note, with_spread

SCORES = ("s1", "s2", "s3")
"""∫(A − D), ∫(B − D) and ∫(B − A)."""

KINDS = ("fragile", "robust", "antifragile")
"""Below, about and above 0."""


@dataclass(frozen=True)
class ScoringOptions:
    """How curves become scores, and scores a verdict.

    Attributes:
        above_chance: normalise what lies above chance, (A − 1/C) / (A(first) − 1/C) (our own
            choice); else A / A(first), as published, which a network without an answer left still
            gets 1/C / A(first) of.
        tolerance: a score of at most so much to either side of 0 is robust; 0 or more (our own
            choice).
        decides: the score whose mean over the filters decides: s1, s2 or s3 (our own choice).
        resampling: of the intervals over the images.

    Raises:
        ConfigError: one is out of its range.
    """

    above_chance: bool = True
    tolerance: float = 0.1
    decides: str = "s2"
    resampling: Resampling = field(default_factory=Resampling)

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < float("inf"):
            raise ConfigError(f"tolerance is {self.tolerance}; expected 0 or more")
        if self.decides not in SCORES:
            raise ConfigError(f"{self.decides!r} is to decide; expected one of {', '.join(SCORES)}")

    def floor(self, classes: int) -> float:
        """What counts as no accuracy, in percent."""
        return 100.0 / classes if self.above_chance else 0.0


@dataclass(frozen=True, eq=False)
class LayerScores:
    """One layer.

    Attributes:
        layer: path of the module.
        by_filter: scores by filter, then by name; None where one is not defined, because the
            accuracy that it is relative to, at the first threshold, is 0 (or chance).
        mean: over the filters, by name; None where one of them is not defined.
        kind: fragile, robust or antifragile; None where the score that decides is not defined.
        clear: whether the whole interval of that score is of this kind; False without intervals.
    """

    layer: str
    by_filter: Mapping[str, Mapping[str, Figure | None]]
    mean: Mapping[str, Figure | None]
    kind: str | None
    clear: bool

    @property
    def verdict(self) -> str:
        """Its kind in words, with a question mark where that is not clear."""
        if self.kind is None:
            return "not defined"
        return self.kind if self.clear else f"{self.kind}?"


def score_layers(
    curves: FilteringCurves, options: ScoringOptions | None = None
) -> tuple[LayerScores, ...]:
    """Score every layer, shallowest first.

    Intervals are by bootstrap over the images, with the same draws for every layer.
    """
    chosen = options or ScoringOptions()
    scored = []
    for layer in curves.layers:
        by_filter = {
            curve.filter: score_curve(curve, curves.classes, chosen) for curve in curves.of(layer)
        }
        mean: dict[str, Figure | None] = {}
        for name in SCORES:
            figures = [scores[name] for scores in by_filter.values()]
            defined = [figure for figure in figures if figure is not None]
            mean[name] = mean_of(defined) if len(defined) == len(figures) else None
        kind, clear, decisive = None, False, mean[chosen.decides]
        if decisive is not None:
            kind, interval = kind_of(decisive.value, chosen.tolerance), decisive.interval
            clear = interval is not None and all(
                kind_of(end, chosen.tolerance) == kind for end in (interval.low, interval.high)
            )
        scored.append(LayerScores(layer, by_filter, mean, kind, clear))
    return tuple(scored)


def score_curve(
    curve: FilterCurve, classes: int, options: ScoringOptions
) -> dict[str, Figure | None]:
    """Score one layer under one filter; figures in units of 1, None where not defined.

    S1 = ∫(A − D), S2 = ∫(B − D), S3 = ∫(B − A) over the thresholds a as 0…1, A and B normalised
    by their value at the first threshold.
    """
    floor = options.floor(classes)
    a = normalized(_drawn(curve.clean, options.resampling), floor)
    b = normalized(_drawn(curve.attacked, options.resampling), floor)
    share = curve.remaining[:, None]  # it does not depend on the images
    integrals = {"s1": a - share, "s2": b - share, "s3": b - a}
    return {
        name: _figure(simpson(values), curve.clean.shape[1], options.resampling)
        for name, values in integrals.items()
    }


def normalized(accuracies: Tensor, floor: float) -> Tensor:
    """Divide accuracies by the first of them, above a floor.

    Args:
        accuracies: along a curve, float64 [T, ...], in percent.
        floor: what counts as nothing, in percent: 100 / C, or 0.

    Returns:
        The same shape; NaN along a curve whose first accuracy is not above the floor.
    """
    above = accuracies - floor
    return torch.where(above[:1] > 0, above / above[:1], torch.nan)


def simpson(values: Tensor) -> Tensor:
    """Integrate over 0…1 by Simpson's rule.

    Args:
        values: float64 [T, ...] at T evenly spaced points, T odd and 3 or more.
    """
    weights = torch.ones(len(values), dtype=torch.float64)
    weights[1:-1:2], weights[2:-1:2] = 4.0, 2.0
    total: Tensor = torch.tensordot(weights, values, dims=1)
    return total / (3 * (len(values) - 1))


def kind_of(value: float, tolerance: float) -> str:
    """Say what a score means."""
    if value < -tolerance:
        return KINDS[0]
    return KINDS[2] if value > tolerance else KINDS[1]


def _drawn(right: Tensor, resampling: Resampling) -> Tensor:
    """Accuracies in percent along a curve: bool [T, N] to float64 [T, 1 + draws], as is first."""
    figures = bootstrap(dict(enumerate(right)), resampling).values()
    values = torch.tensor([[figure.value] for figure in figures], dtype=torch.float64)
    draws = [figure.draws for figure in figures if figure.draws is not None]
    return torch.cat([values, torch.stack(draws)], dim=1) if draws else values


def _figure(values: Tensor, images: int, resampling: Resampling) -> Figure | None:
    """Of a value and its draws; no draws where one of them is not defined."""
    value, draws = float(values[0]), values[1:]
    if value != value:
        return None
    bounded = len(draws) > 0 and bool(draws.isfinite().all())
    return Figure(value, draws if bounded else None, images, resampling)


MEAN = "mean"
_CURVES = ("thresholds", "remaining", "accuracy", "attacked_accuracy")
_INTEGRALS = ("S1 = ∫(A − D)", "S2 = ∫(B − D)", "S3 = ∫(B − A)")
_SAID = 3
"""Undefined scores that are listed one by one."""


@dataclass(frozen=True, eq=False)
class FilteringReport(Report):
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
            "layers": [
                {
                    "name": layer.layer,
                    "kind": layer.kind,
                    "clear": layer.clear,
                    "scores": _scores(layer.mean),
                    "filters": {
                        curve.filter: {
                            "scores": _scores(layer.by_filter[curve.filter]),
                            **{name: getattr(curve, name).tolist() for name in _CURVES},
                        }
                        for curve in self.curves.of(layer.layer)
                    },
                }
                for layer in self.scores
            ],
        }

    def to_csv(self) -> str:
        """A row for each layer and filter, and one for the mean over the filters."""
        rows = []
        for layer in self.scores:
            for name, scores in {**layer.by_filter, MEAN: layer.mean}.items():
                verdict = (layer.kind, layer.clear) if name == MEAN else (None, None)
                cells = (
                    (None,) * 3 if figure is None else (figure.value, *ends(figure.interval))
                    for figure in scores.values()
                )
                rows.append([layer.layer, name, *chain.from_iterable(cells), *verdict])
        columns = " ".join(f"{name}:.4f {name}_low:.3f {name}_high:.3f" for name in SCORES)
        return csv_text(f"layer filter {columns} kind clear", rows)

    def parts(self) -> Iterator[Table | str]:
        """A line a layer, means over the filters, and the verdict."""
        curves, options = self.curves, self.options
        decides, filters = options.decides, curves.options.filters
        each = filters if len(filters) > 1 else ()
        yield (
            f"Weights filtered away, {curves.images:,} images of {self.dataset}: accuracy "
            f"{curves.accuracy:.1f} %, under FGSM (ε = {curves.options.epsilon:g}) "
            f"{curves.attacked_accuracy:.1f} %"
        )
        columns = (
            Column("layer", left=True),
            *(Column(f"{decides.upper()}, {name}", form="z.2f", spare=1) for name in each),
            *(Column(f"{name.upper()}, mean") for name in SCORES),
            Column("verdict", left=True),
        )
        rows = []
        for name, layer in zip(short_names(curves.layers), self.scores, strict=True):
            own = [layer.by_filter[one][decides] for one in each]
            means = [
                figure and with_spread(figure.value, figure.interval, "z.2f")
                for figure in layer.mean.values()
            ]
            rows.append((name, *(one and one.value for one in own), *means, layer.verdict))
        yield Table(columns, rows)
        counts = ", ".join(f"{count} {kind}" for kind, count in self.counts.items())
        borders = f"below {-options.tolerance:g}, between, above {options.tolerance:g}"
        yield f"{counts} (mean of {decides.upper()} {borders})."
        yield (
            f"{', '.join(_INTEGRALS)} over the thresholds as 0…1; A: accuracy, B: accuracy under "
            "FGSM, D: share of the weights that remain."
        )
        if not options.above_chance:
            yield "Accuracies are taken as they are, chance included."
        if options.resampling.resamples:
            note = interval_note(options.resampling.confidence)
            yield f"{note}; ?: it reaches beyond the verdict, or there is none."
        said = self.undefined()
        yield from said[:_SAID]
        if len(said) > _SAID:
            yield f"and {len(said) - _SAID} more that are not defined (--json)"

    def pictures(self) -> Mapping[str, bytes]:
        """Two of them, `curves` and `map`."""
        return {"curves": draw_curves(self), "map": draw_map(self)}


def _scores(scores: Mapping[str, Figure | None]) -> dict[str, Any]:
    return {
        name: one and {"value": one.value, "interval": one.interval and one.interval.model_dump()}
        for name, one in scores.items()
    }


_CLEAN, _ATTACKED, _REMAINING = "#1f6fb2", "#d1762b", "#444444"
_ROWS = 8
"""Layers below each other before another block begins."""
_LIMITS = (-0.35, 1.35)


def draw_curves(report: FilteringReport) -> bytes:
    """Draw A, B and D of every layer under every filter, normalised as they are scored."""
    layers, filters = report.curves.layers, report.curves.options.filters
    blocks = ceil(len(layers) / _ROWS)
    rows = ceil(len(layers) / blocks)
    columns = blocks * len(filters)
    figure = new_figure(1.0 + 1.9 * columns, 1.0 + 1.25 * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flatten():
        axes.set_visible(False)
    for place, (layer, name) in enumerate(zip(layers, short_names(layers), strict=True)):
        row, first = place % rows, place // rows * len(filters)
        for step, curve in enumerate(report.curves.of(layer)):
            axes = grid[row, first + step]
            head = f"{curve.filter}, {FILTERS[curve.filter].title}"
            _draw_curve(axes, curve, report)
            frame(axes, y="" if step else name, title="" if row else head)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3, frameon=False, fontsize=8)
    figure.supxlabel("threshold, from the first to the last", fontsize=8)
    return png_bytes(figure)


def draw_map(report: FilteringReport) -> bytes:
    """Draw every score of every layer: red is fragile, blue antifragile."""
    filters = report.curves.options.filters
    own = (*filters, MEAN) if len(filters) > 1 else filters
    names = short_names(report.curves.layers)
    sources = [
        [layer.mean if name == MEAN else layer.by_filter[name] for name in own]
        for layer in report.scores
    ]
    figures = [[source[score] for score in SCORES for source in row] for row in sources]
    values = torch.tensor(
        [[torch.nan if one is None else one.value for one in row] for row in figures],
        dtype=torch.float64,
    )
    figure = new_figure(3.6 + 0.52 * len(own) * len(SCORES), 1.6 + 0.28 * len(names))
    axes = figure.add_subplot()
    top = max(0.1, float(values.nan_to_num(0.0).abs().max()))
    columns = list(own) * len(SCORES)
    drawn = draw_heat_map(axes, values, names, columns, "RdBu", (-top, top), form="z.2f")
    mark_groups(axes, (), [title for title in _INTEGRALS for _ in own])
    for place, layer in enumerate(report.scores):
        axes.annotate(
            layer.verdict, (1.0, place), xycoords=("axes fraction", "data"), xytext=(5, 0),
            textcoords="offset points", va="center", fontsize=7, annotation_clip=False,
        )  # fmt: skip
    figure.colorbar(drawn, ax=axes, shrink=0.8, pad=0.14)
    return png_bytes(figure)


def _draw_curve(axes: Any, curve: FilterCurve, report: FilteringReport) -> None:
    axes.set_visible(True)
    places = torch.linspace(0, 1, len(curve.remaining)).tolist()
    floor = report.options.floor(report.curves.classes)
    lines: tuple[tuple[Tensor, str, str, str], ...] = (
        (curve.remaining, _REMAINING, ":", "D, weights that remain"),
        (normalized(curve.accuracy, floor), _CLEAN, "-", "A, accuracy"),
        (normalized(curve.attacked_accuracy, floor), _ATTACKED, "-", "B, accuracy under FGSM"),
    )
    for values, colour, style, label in lines:
        axes.plot(places, values.tolist(), style, color=colour, linewidth=1.2, label=label)
    axes.set_ylim(*_LIMITS)
