"""Synaptic filtering: fragile, robust and antifragile layers."""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.probes.filtering.curves import (
        FilteringCurves as FilteringCurves,
        FilteringOptions as FilteringOptions,
        measure_curves as measure_curves,
        parameters_of as parameters_of,
        parse_filters as parse_filters,
    )
    from rwsstore.probes.filtering.report import (
        FilteringReport as FilteringReport,
        LayerScores as LayerScores,
        ScoringOptions as ScoringOptions,
        draw_curves as draw_curves,
        draw_map as draw_map,
        score_layers as score_layers,
    )
else:
    faces.lazy(__name__)
