"""Patches against failing weights and adversaries: what a recipe's training changed."""

__all__ = [
    "HAZARDS",
    "DeltaConfig",
    "DeltaOptions",
    "Hazard",
    "delta_recipe",
    "extract_delta",
    "hazard_for",
    "is_current",
    "measured_delta",
    "publish_delta",
]

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.deltas.config import DeltaConfig
    from rwsstore.deltas.extraction import delta_recipe, extract_delta, measured_delta
    from rwsstore.deltas.hazards import HAZARDS, Hazard, hazard_for
    from rwsstore.deltas.options import DeltaOptions
    from rwsstore.deltas.publishing import is_current, publish_delta
else:
    faces.lazy(__name__)
