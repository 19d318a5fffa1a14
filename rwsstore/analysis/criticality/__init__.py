"""Criticality: which layers make features weak under attack."""

__all__ = ["Criticality", "CriticalityOptions", "criticality_from", "measure_criticality"]

from rwsstore.analysis.criticality.measuring import (
    Criticality,
    CriticalityOptions,
    criticality_from,
    measure_criticality,
)
