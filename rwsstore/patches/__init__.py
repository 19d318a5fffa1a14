"""Patches: quantized deltas on a clean model's tensors, their algebra and their file format."""

__all__ = [
    "BIT_WIDTHS",
    "MAX_PATCHES",
    "MAX_PATCH_BYTES",
    "NAME_PATTERN",
    "AlphaRange",
    "CardPoint",
    "Golden",
    "GoldenProbe",
    "Kind",
    "ModelIdentity",
    "ModelTensor",
    "Part",
    "Patch",
    "PatchMetadata",
    "PatchSet",
    "Payload",
    "QuantizedTensor",
    "RawTensor",
    "Reach",
    "RecordedRecipe",
    "Request",
    "RobustnessCard",
    "check_bits",
    "check_fit",
    "check_golden",
    "compose",
    "identify",
    "make_patch",
    "parse_alpha",
    "parse_request",
    "patched_tensor",
    "probe_images",
    "quantize",
    "reach_of",
    "record_golden",
    "requantize",
    "scale",
]

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.patches.algebra import (
        PatchSet,
        Request,
        compose,
        parse_alpha,
        parse_request,
        patched_tensor,
        scale,
    )
    from rwsstore.patches.fit import ModelIdentity, Reach, check_fit, identify, make_patch, reach_of
    from rwsstore.patches.format import MAX_PATCH_BYTES
    from rwsstore.patches.golden import Golden, check_golden, probe_images, record_golden
    from rwsstore.patches.metadata import (
        BIT_WIDTHS,
        MAX_PATCHES,
        NAME_PATTERN,
        AlphaRange,
        CardPoint,
        GoldenProbe,
        Kind,
        ModelTensor,
        Part,
        PatchMetadata,
        RecordedRecipe,
        RobustnessCard,
    )
    from rwsstore.patches.patch import Patch
    from rwsstore.patches.quantization import (
        Payload,
        QuantizedTensor,
        RawTensor,
        check_bits,
        quantize,
        requantize,
    )
else:
    faces.lazy(__name__)
