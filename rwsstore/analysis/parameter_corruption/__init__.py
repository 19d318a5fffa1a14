"""How a network fails when its parameters are corrupted on purpose, and which of them matter.

Sun et al., "Exploring the Vulnerability of Deep Neural Networks: A Study of Parameter Corruption",
AAAI 2021.
"""

__all__ = [
    "Constraint",
    "Corruption",
    "CorruptionReport",
    "CorruptionRow",
    "Group",
    "Indicator",
    "LossAndAccuracy",
    "LossGradient",
    "Outcome",
    "ProbeOptions",
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

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.analysis.parameter_corruption.corruption import (
        Constraint,
        Corruption,
        Group,
        all_parameters,
        by_layer,
        by_module,
        by_type,
        corrupted_copy,
        corrupting,
        corruption_along,
        first_order_change,
        gradient_corruption,
        named_group,
        random_corruption,
    )
    from rwsstore.analysis.parameter_corruption.indicator import (
        Indicator,
        LossAndAccuracy,
        LossGradient,
        Sample,
        loss_gradient,
        measure,
        measure_indicator,
    )
    from rwsstore.analysis.parameter_corruption.probing import ProbeOptions, probe_corruption
    from rwsstore.analysis.parameter_corruption.report import (
        CorruptionReport,
        CorruptionRow,
        Outcome,
        corruption_table,
        draw_corruption,
        draw_curves,
        draw_losses,
    )
else:
    faces.lazy(__name__)
