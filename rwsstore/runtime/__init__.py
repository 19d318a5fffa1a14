"""A live model in one process: variants, patch sets, state digests, verification."""

__all__ = [
    "FLOAT32",
    "FORMATS",
    "ActiveSet",
    "Chosen",
    "CleanModel",
    "ComputeFormat",
    "Edit",
    "FormatProbe",
    "LiveModel",
    "PatchBag",
    "PatchSource",
    "Patches",
    "Split",
    "Variant",
    "Verification",
    "build_variant",
    "compute_format",
    "fastest_format",
    "find_on",
    "measure_agreement",
    "put_on",
    "rescale",
    "split_after",
    "state_digest",
    "without_zeros",
]

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.runtime.admission import PatchBag, PatchSource
    from rwsstore.runtime.comparing import FormatProbe, fastest_format, measure_agreement
    from rwsstore.runtime.formats import FLOAT32, FORMATS, ComputeFormat, compute_format
    from rwsstore.runtime.live import (
        ActiveSet,
        Chosen,
        Edit,
        LiveModel,
        Patches,
        find_on,
        put_on,
        rescale,
        without_zeros,
    )
    from rwsstore.runtime.splitting import Split, split_after
    from rwsstore.runtime.variant import CleanModel, Variant, build_variant, state_digest
    from rwsstore.runtime.verification import Verification
else:
    faces.lazy(__name__)
