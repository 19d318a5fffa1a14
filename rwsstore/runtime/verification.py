"""Are the weights in memory still those that were loaded? Compared with a fresh build."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rwsstore.canonical import Digest, sha256_hex
from rwsstore.errors import RwsError
from rwsstore.models import weights_fingerprint
from rwsstore.patches import Patch, PatchSet, patched_tensor
from rwsstore.runtime.conversion import Conversion
from rwsstore.runtime.variant import CleanModel, Variant


@dataclass(frozen=True)
class Verification:
    """What a verification found.

    Attributes:
        state_digest: of the variant that was verified.
        live_weights: weights fingerprint of its tensors as they lie in memory.
        tensors: how many tensors were compared.
        problems: one line for each difference; empty if all is well.
    """

    state_digest: Digest
    live_weights: Digest
    tensors: int
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return not self.problems


def verify_variant(
    clean: CleanModel, variant: Variant, conversion: Conversion | None = None
) -> Verification:
    """Hash the resident clean weights, build the variant's tensors anew, and compare to the bit.

    The patches are read again from their files' bytes, and those are hashed first, so that a
    change in any of the three places is found. What computes in another compute format is compared
    with what that format, by its conversion, makes of the fresh tensors.
    """
    problems = []
    if weights_fingerprint(clean.state) != clean.identity.clean_weights:
        problems.append("the clean weights in memory differ from those that were loaded")
    if conversion is not None:
        problems += [
            f"tensor {name!r} differs from the clean weights as it computes"
            for name in conversion.differences(conversion.root, clean.state)
        ]
    try:
        again = {}
        for digest, patch in variant.sources.items():
            data = patch.to_bytes()
            if sha256_hex(data) != digest:
                raise RwsError(f"the bytes of {patch.name!r} do not have its digest")
            again[digest] = Patch.from_bytes(data)
        fresh = patched_state(clean, variant.patches, again)
    except RwsError as error:
        problems.append(f"a fresh build fails: {error}")
    else:
        problems += _compare_patched(clean, variant, fresh, conversion)
    live, used = variant.state(), variant.in_use(conversion)
    if conversion is None or used is None:  # tensor for tensor; what was tied still is
        patched = {clean.state[name].data_ptr(): live[name] for name in variant.patched}
        problems += [
            f"tensor {name!r} is not shared with the clean model"
            for name, tensor in clean.state.items()
            if live[name].data_ptr() != patched.get(tensor.data_ptr(), tensor).data_ptr()
        ]
    elif not conversion.shares(used, variant.touched):
        problems.append("a tensor that no patch touches is not shared with the clean model")
    return Verification(variant.digest, weights_fingerprint(live), len(live), tuple(problems))


def _compare_patched(
    clean: CleanModel, variant: Variant, fresh: Mapping[str, Tensor], conversion: Conversion | None
) -> list[str]:
    used = variant.in_use(conversion)
    if conversion is not None and used is not None:
        # A tensor that two layers share is packed in each, so it is compared in each.
        places = {clean.state[name].data_ptr(): tensor for name, tensor in fresh.items()}
        under_all_names = {
            name: places[tensor.data_ptr()]
            for name, tensor in clean.state.items()
            if tensor.data_ptr() in places
        }
        different = conversion.differences(used, under_all_names)
    else:
        live = variant.state()
        different = [
            name
            for name, tensor in fresh.items()
            # Compared as integers, so that a NaN or a flipped sign of zero is a difference too.
            if not torch.equal(live[name].view(torch.int32), tensor.view(torch.int32))
        ]
    return [f"patched tensor {name!r} differs from a fresh build" for name in different]


def patched_state(
    clean: CleanModel, patches: PatchSet, available: Mapping[Digest, Patch]
) -> dict[str, Tensor]:
    """Compute the tensors that a patch set touches the plain way, tensor by tensor.

    It uses nothing that is kept for speed, so that what is built with that can be compared.
    """
    touched = sorted({name for digest, _ in patches for name in available[digest].tensors})
    return {
        name: patched_tensor(
            name,
            clean.state[name],
            [
                (available[digest].tensors[name], alpha)
                for digest, alpha in patches
                if name in available[digest].tensors
            ],
        )
        for name in touched
    }
