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

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.analysis.filtering.curves import (
        FILTERS,
        Filter,
        FilterCurve,
        FilteringCurves,
        FilteringOptions,
        filtered_layers,
        high_pass,
        low_pass,
        measure_curves,
        parameters_of,
        parse_filters,
        pulse,
    )
    from rwsstore.analysis.filtering.report import (
        KINDS,
        SCORES,
        FilteringReport,
        LayerScores,
        ScoringOptions,
        kind_of,
        normalized,
        score_curve,
        score_layers,
        simpson,
    )
    from rwsstore.analysis.filtering.showing import (
        draw_curves,
        draw_filtering,
        draw_map,
        filtering_text,
    )
else:
    faces.lazy(__name__)
