"""Criticality: which layers make features weak under attack."""

__all__ = [
    "BatchStability",
    "Criticality",
    "CriticalityOptions",
    "CriticalityReport",
    "LayerRow",
    "Stability",
    "Weaknesses",
    "check_draws",
    "criticality_from",
    "criticality_text",
    "default_count",
    "draw_criticality",
    "measure_criticality",
    "measure_stability",
    "measure_weaknesses",
    "stability_of",
]

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.analysis.criticality.measuring import (
        Criticality,
        CriticalityOptions,
        Weaknesses,
        criticality_from,
        default_count,
        measure_criticality,
        measure_weaknesses,
    )
    from rwsstore.analysis.criticality.report import (
        BatchStability,
        CriticalityReport,
        LayerRow,
        Stability,
        check_draws,
        measure_stability,
        stability_of,
    )
    from rwsstore.analysis.criticality.showing import criticality_text, draw_criticality
else:
    faces.lazy(__name__)
