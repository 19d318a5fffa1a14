"""A live model in one process: variants, patch sets, state digests, verification."""

__all__ = [
    "FLOAT32",
    "FORMATS",
    "CleanModel",
    "ComputeFormat",
    "FormatProbe",
    "LiveModel",
    "PatchBag",
    "PatchSource",
    "Split",
    "Variant",
    "Verification",
    "build_variant",
    "compute_format",
    "fastest_format",
    "measure_agreement",
    "split_after",
    "state_digest",
]

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.runtime.admission import PatchBag, PatchSource
    from rwsstore.runtime.comparing import FormatProbe, fastest_format, measure_agreement
    from rwsstore.runtime.formats import FLOAT32, FORMATS, ComputeFormat, compute_format
    from rwsstore.runtime.live import LiveModel
    from rwsstore.runtime.splitting import Split, split_after
    from rwsstore.runtime.variant import CleanModel, Variant, build_variant, state_digest
    from rwsstore.runtime.verification import Verification
else:
    faces.lazy(__name__)
