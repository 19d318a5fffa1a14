"""How a network fails when its parameters are corrupted on purpose, and which of them matter.

Sun et al., "Exploring the Vulnerability of Deep Neural Networks: A Study of Parameter Corruption",
AAAI 2021.
"""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.probes.parameter_corruption.corruption import (
        Constraint as Constraint,
        by_type as by_type,
        corrupted_copy as corrupted_copy,
        corruption_along as corruption_along,
        gradient_corruption as gradient_corruption,
    )
    from rwsstore.probes.parameter_corruption.indicator import (
        LossGradient as LossGradient,
        Sample as Sample,
        loss_gradient as loss_gradient,
        measure as measure,
        measure_indicator as measure_indicator,
    )
    from rwsstore.probes.parameter_corruption.probing import (
        ProbeOptions as ProbeOptions,
        probe_corruption as probe_corruption,
    )
    from rwsstore.probes.parameter_corruption.report import (
        CorruptionReport as CorruptionReport,
        CorruptionRow as CorruptionRow,
        draw_curves as draw_curves,
        draw_losses as draw_losses,
    )
else:
    faces.lazy(__name__)
