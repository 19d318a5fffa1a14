"""Synaptic filtering: fragile, robust and antifragile layers."""

__all__ = [
    "FILTERS",
    "KINDS",
    "SCORES",
    "Filter",
    "FilterCurve",
    "FilteringCurves",
    "FilteringOptions",
    "FilteringReport",
    "LayerScores",
    "ScoringOptions",
    "draw_curves",
    "draw_filtering",
    "draw_map",
    "filtered_layers",
    "filtering_text",
    "high_pass",
    "kind_of",
    "low_pass",
    "measure_curves",
    "normalized",
    "parameters_of",
    "parse_filters",
    "pulse",
    "score_curve",
    "score_layers",
    "simpson",
]

from rwsstore.analysis.filtering.curves import (
    FilterCurve,
    FilteringCurves,
    FilteringOptions,
    measure_curves,
)
from rwsstore.analysis.filtering.filters import (
    FILTERS,
    Filter,
    high_pass,
    low_pass,
    parse_filters,
    pulse,
)
from rwsstore.analysis.filtering.layers import filtered_layers, parameters_of
from rwsstore.analysis.filtering.pictures import draw_curves, draw_filtering, draw_map
from rwsstore.analysis.filtering.report import FilteringReport
from rwsstore.analysis.filtering.scores import (
    KINDS,
    SCORES,
    LayerScores,
    ScoringOptions,
    kind_of,
    normalized,
    score_curve,
    score_layers,
    simpson,
)
from rwsstore.analysis.filtering.text import filtering_text
