"""Synaptic filtering: fragile, robust and antifragile layers."""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.probes.filtering.curves import (
        FILTERS as FILTERS,
        Filter as Filter,
        FilterCurve as FilterCurve,
        FilteringCurves as FilteringCurves,
        FilteringOptions as FilteringOptions,
        filtered_layers as filtered_layers,
        high_pass as high_pass,
        low_pass as low_pass,
        measure_curves as measure_curves,
        parameters_of as parameters_of,
        parse_filters as parse_filters,
        pulse as pulse,
    )
    from rwsstore.probes.filtering.report import (
        KINDS as KINDS,
        SCORES as SCORES,
        FilteringReport as FilteringReport,
        LayerScores as LayerScores,
        ScoringOptions as ScoringOptions,
        kind_of as kind_of,
        normalized as normalized,
        score_curve as score_curve,
        score_layers as score_layers,
        simpson as simpson,
    )
    from rwsstore.probes.filtering.showing import (
        draw_curves as draw_curves,
        draw_filtering as draw_filtering,
        draw_map as draw_map,
        filtering_text as filtering_text,
    )
else:
    faces.lazy(__name__)
