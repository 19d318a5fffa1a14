"""Criticality: which layers make features weak under attack."""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.probes.criticality.measuring import (
        CriticalityOptions as CriticalityOptions,
        default_count as default_count,
        measure_criticality as measure_criticality,
        measure_weaknesses as measure_weaknesses,
    )
    from rwsstore.probes.criticality.report import (
        CriticalityReport as CriticalityReport,
        check_draws as check_draws,
        stability_of as stability_of,
    )
else:
    faces.lazy(__name__)
