"""How a network fails when its parameters are corrupted on purpose, and which of them matter.

Sun et al., "Exploring the Vulnerability of Deep Neural Networks: A Study of Parameter Corruption",
AAAI 2021.
"""

__all__ = [
    "Constraint",
    "Corruption",
    "CorruptionReport",
    "Group",
    "Indicator",
    "LossGradient",
    "Measured",
    "Outcome",
    "ProbeOptions",
    "Row",
    "Sample",
    "all_parameters",
    "by_layer",
    "by_module",
    "by_type",
    "corrupted_copy",
    "corrupting",
    "corruption_along",
    "corruption_table",
    "draw_corruption",
    "draw_curves",
    "draw_losses",
    "first_order_change",
    "gradient_corruption",
    "loss_gradient",
    "measure",
    "measure_indicator",
    "named_group",
    "probe_corruption",
    "random_corruption",
]

from rwsstore.analysis.parameter_corruption.constraint import Constraint, corruption_along
from rwsstore.analysis.parameter_corruption.corruption import (
    Corruption,
    corrupted_copy,
    corrupting,
    first_order_change,
    gradient_corruption,
    random_corruption,
)
from rwsstore.analysis.parameter_corruption.gradient import LossGradient, loss_gradient
from rwsstore.analysis.parameter_corruption.indicator import Indicator, measure_indicator
from rwsstore.analysis.parameter_corruption.pictures import (
    draw_corruption,
    draw_curves,
    draw_losses,
)
from rwsstore.analysis.parameter_corruption.probing import ProbeOptions, probe_corruption
from rwsstore.analysis.parameter_corruption.report import CorruptionReport, Outcome, Row
from rwsstore.analysis.parameter_corruption.sample import Measured, Sample, measure
from rwsstore.analysis.parameter_corruption.selection import (
    Group,
    all_parameters,
    by_layer,
    by_module,
    by_type,
    named_group,
)
from rwsstore.analysis.parameter_corruption.table import corruption_table
