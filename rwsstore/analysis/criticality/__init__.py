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

from rwsstore.analysis.criticality.indices import (
    Criticality,
    Weaknesses,
    criticality_from,
    default_count,
)
from rwsstore.analysis.criticality.measuring import (
    CriticalityOptions,
    measure_criticality,
    measure_weaknesses,
)
from rwsstore.analysis.criticality.pictures import draw_criticality
from rwsstore.analysis.criticality.report import CriticalityReport, LayerRow
from rwsstore.analysis.criticality.stability import (
    BatchStability,
    Stability,
    check_draws,
    measure_stability,
    stability_of,
)
from rwsstore.analysis.criticality.text import criticality_text
