"""Bit flips in stored weights: what each of them costs."""

__all__ = [
    "DECILES",
    "FORMATS",
    "BitflipReport",
    "Change",
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

from rwsstore.analysis.bitflips.deciles import DECILES
from rwsstore.analysis.bitflips.formats import (
    FORMATS,
    NumberFormat,
    chosen_bits,
    flip,
    from_bits,
    to_bits,
)
from rwsstore.analysis.bitflips.memory import Change, Memory, StoredArray, changed
from rwsstore.analysis.bitflips.patches import StoredPatch
from rwsstore.analysis.bitflips.pictures import draw_bitflips
from rwsstore.analysis.bitflips.report import BitflipReport, Tally
from rwsstore.analysis.bitflips.sites import Sites, layer_sites, sample_sites
from rwsstore.analysis.bitflips.surveying import Survey, survey
from rwsstore.analysis.bitflips.text import bitflip_text
from rwsstore.analysis.bitflips.weights import StoredWeights
