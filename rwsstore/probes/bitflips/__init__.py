"""Bit flips in stored weights: what each of them costs."""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.probes.bitflips.memory import (
        FORMATS as FORMATS,
        Memory as Memory,
        StoredPatch as StoredPatch,
        StoredWeights as StoredWeights,
        flip as flip,
    )
    from rwsstore.probes.bitflips.report import (
        BitflipReport as BitflipReport,
        draw_bitflips as draw_bitflips,
    )
    from rwsstore.probes.bitflips.surveying import (
        Sites as Sites,
        Survey as Survey,
        layer_sites as layer_sites,
        sample_sites as sample_sites,
        survey as survey,
    )
else:
    faces.lazy(__name__)
