"""Are the weights in memory still those that were loaded? Compared with a fresh build."""

__all__ = ["Verification", "verify_variant"]

from dataclasses import dataclass

import torch

from rwsstore.canonical import Digest, sha256_hex
from rwsstore.errors import RwsError
from rwsstore.models import weights_fingerprint
from rwsstore.patches import Patch
from rwsstore.runtime.variant import CleanModel, Variant, patched_state


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


def verify_variant(clean: CleanModel, variant: Variant) -> Verification:
    """Hash the resident clean weights, build the variant's tensors anew, and compare to the bit.

    The patches are read again from their files' bytes, and those are hashed first, so that a
    change in any of the three places is found.
    """
    problems = []
    if weights_fingerprint(clean.state) != clean.identity.clean_weights:
        problems.append("the clean weights in memory differ from those that were loaded")
    live = variant.state()
    problems += _compare_patched(clean, variant)
    problems += _compare_shared(clean, variant)
    return Verification(variant.digest, weights_fingerprint(live), len(live), tuple(problems))


def _compare_patched(clean: CleanModel, variant: Variant) -> list[str]:
    try:
        fresh = patched_state(clean, variant.patches, _read_again(variant))
    except RwsError as error:
        return [f"a fresh build fails: {error}"]
    live = variant.state()
    return [
        f"patched tensor {name!r} differs from a fresh build"
        for name, tensor in fresh.items()
        # Compared as integers, so that a NaN or a flipped sign of zero is a difference too.
        if not torch.equal(live[name].view(torch.int32), tensor.view(torch.int32))
    ]


def _compare_shared(clean: CleanModel, variant: Variant) -> list[str]:
    """Every tensor but the patched ones is the clean model's own; what was tied still is."""
    live = variant.state()
    patched = {clean.state[name].data_ptr(): live[name] for name in variant.patched}
    return [
        f"tensor {name!r} is not shared with the clean model"
        for name, tensor in clean.state.items()
        if live[name].data_ptr() != patched.get(tensor.data_ptr(), tensor).data_ptr()
    ]


def _read_again(variant: Variant) -> dict[Digest, Patch]:
    again = {}
    for digest, patch in variant.sources.items():
        data = patch.to_bytes()
        if sha256_hex(data) != digest:
            raise RwsError(f"the bytes of {patch.name!r} do not have its digest")
        again[digest] = Patch.from_bytes(data)
    return again
