"""Patches: quantized deltas on a clean model's tensors, their algebra and their file format."""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.patches.algebra import (
        PatchSet as PatchSet,
        Request as Request,
        compose as compose,
        parse_request as parse_request,
        patched_tensor as patched_tensor,
    )
    from rwsstore.patches.fit import (
        ModelIdentity as ModelIdentity,
        Reach as Reach,
        check_fit as check_fit,
        identify as identify,
        make_patch as make_patch,
        reach_of as reach_of,
    )
    from rwsstore.patches.format import MAX_PATCH_BYTES as MAX_PATCH_BYTES
    from rwsstore.patches.golden import (
        check_golden as check_golden,
        probe_images as probe_images,
        record_golden as record_golden,
    )
    from rwsstore.patches.metadata import (
        BIT_WIDTHS as BIT_WIDTHS,
        MAX_PATCHES as MAX_PATCHES,
        NAME_PATTERN as NAME_PATTERN,
        AlphaRange as AlphaRange,
        CardPoint as CardPoint,
        GoldenProbe as GoldenProbe,
        Kind as Kind,
        PatchMetadata as PatchMetadata,
        RecordedRecipe as RecordedRecipe,
        RobustnessCard as RobustnessCard,
    )
    from rwsstore.patches.patch import Patch as Patch
    from rwsstore.patches.quantization import Payload as Payload, QuantizedTensor as QuantizedTensor
else:
    faces.lazy(__name__)
