"""Bit flips in stored weights: what each of them costs."""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.probes.bitflips.memory import (
        FORMATS as FORMATS,
        Damage as Damage,
        Memory as Memory,
        NumberFormat as NumberFormat,
        StoredArray as StoredArray,
        StoredPatch as StoredPatch,
        StoredWeights as StoredWeights,
        changed as changed,
        chosen_bits as chosen_bits,
        flip as flip,
        from_bits as from_bits,
        to_bits as to_bits,
    )
    from rwsstore.probes.bitflips.report import (
        DECILES as DECILES,
        BitflipReport as BitflipReport,
        Tally as Tally,
        bitflip_text as bitflip_text,
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
