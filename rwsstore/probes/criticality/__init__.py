"""Criticality: which layers make features weak under attack."""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.probes.criticality.measuring import (
        Criticality as Criticality,
        CriticalityOptions as CriticalityOptions,
        Weaknesses as Weaknesses,
        criticality_from as criticality_from,
        default_count as default_count,
        measure_criticality as measure_criticality,
        measure_weaknesses as measure_weaknesses,
    )
    from rwsstore.probes.criticality.report import (
        BatchStability as BatchStability,
        CriticalityReport as CriticalityReport,
        LayerRow as LayerRow,
        Stability as Stability,
        check_draws as check_draws,
        measure_stability as measure_stability,
        stability_of as stability_of,
    )
    from rwsstore.probes.criticality.showing import (
        criticality_text as criticality_text,
        draw_criticality as draw_criticality,
    )
else:
    faces.lazy(__name__)
