"""A live model in one process: variants, patch sets, state digests, verification."""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.runtime.admission import PatchBag as PatchBag, PatchSource as PatchSource
    from rwsstore.runtime.comparing import (
        fastest_format as fastest_format,
        measure_agreement as measure_agreement,
    )
    from rwsstore.runtime.formats import (
        FLOAT32 as FLOAT32,
        FORMATS as FORMATS,
        ComputeFormat as ComputeFormat,
        compute_format as compute_format,
    )
    from rwsstore.runtime.live import (
        ActiveSet as ActiveSet,
        Chosen as Chosen,
        Edit as Edit,
        LiveModel as LiveModel,
        Patches as Patches,
        find_on as find_on,
        put_on as put_on,
        rescale as rescale,
        without_zeros as without_zeros,
    )
    from rwsstore.runtime.variant import (
        CleanModel as CleanModel,
        Variant as Variant,
    )
    from rwsstore.runtime.verification import Verification as Verification
else:
    faces.lazy(__name__)
