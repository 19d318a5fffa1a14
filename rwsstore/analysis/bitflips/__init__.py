"""Bit flips in stored weights: what each of them costs."""

__all__ = [
    "DECILES",
    "FORMATS",
    "BitflipReport",
    "Damage",
    "Memory",
    "NumberFormat",
    "Sites",
    "StoredArray",
    "StoredPatch",
    "StoredWeights",
    "Survey",
    "Tally",
    "bitflip_text",
    "changed",
    "chosen_bits",
    "draw_bitflips",
    "flip",
    "from_bits",
    "layer_sites",
    "sample_sites",
    "survey",
    "to_bits",
]

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.analysis.bitflips.memory import (
        FORMATS,
        Damage,
        Memory,
        NumberFormat,
        StoredArray,
        StoredPatch,
        StoredWeights,
        changed,
        chosen_bits,
        flip,
        from_bits,
        to_bits,
    )
    from rwsstore.analysis.bitflips.report import (
        DECILES,
        BitflipReport,
        Tally,
        bitflip_text,
        draw_bitflips,
    )
    from rwsstore.analysis.bitflips.surveying import (
        Sites,
        Survey,
        layer_sites,
        sample_sites,
        survey,
    )
else:
    faces.lazy(__name__)
