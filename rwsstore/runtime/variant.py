"""Variants: the clean model with one patch set on it."""

__all__ = ["CleanModel", "Variant", "build_variant", "patched_state"]

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rwsstore.canonical import Digest
from rwsstore.errors import TensorError
from rwsstore.patches import ModelIdentity, Patch, PatchSet, identify, patched_tensor
from rwsstore.runtime.digest import state_digest
from rwsstore.runtime.sharing import Sharing


@dataclass(frozen=True, eq=False)
class CleanModel:
    """The clean model θ_std, frozen in evaluation mode; nothing ever writes to its tensors.

    Attributes:
        module: the network.
        state: its tensors by name, sharing their memory.
        identity: its fingerprints.
        sharing: makes the modules of its variants.
    """

    module: nn.Module
    state: Mapping[str, Tensor]
    identity: ModelIdentity
    sharing: Sharing

    @classmethod
    def of(cls, model: nn.Module) -> "CleanModel":
        """Freeze a copy of a model.

        Raises:
            TensorError: a weight is NaN or infinite, or a parameter is not float32.
        """
        module = copy.deepcopy(model).eval().requires_grad_(False)
        for name, parameter in module.named_parameters():
            if parameter.dtype != torch.float32:
                raise TensorError(f"parameter {name!r} is {parameter.dtype}; expected float32")
        state = module.state_dict()
        for name, tensor in state.items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise TensorError(f"weights {name!r} hold NaN or infinity")
        return cls(module, state, identify(state), Sharing(module))


@dataclass(frozen=True, eq=False)
class Variant:
    """The clean model with one patch set on it; immutable, so it is safe to share.

    Attributes:
        patches: what is on it; composed patches stand as their parts.
        sources: the patches themselves, by digest.
        module: the network; every tensor that no patch touches is the clean model's own.
        patched: names of the tensors that a patch touches.
        digest: the state digest.
        transferred: digests of the patches that come from other clean weights.
    """

    patches: PatchSet
    sources: Mapping[Digest, Patch]
    module: nn.Module
    patched: tuple[str, ...]
    digest: Digest
    transferred: tuple[Digest, ...] = ()

    @property
    def names(self) -> dict[Digest, str]:
        """Each patch's name, by digest."""
        return {digest: patch.name for digest, patch in self.sources.items()}

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Predict: images [B, 3, H, W] to logits [B, C]."""
        logits: Tensor = self.module(images)
        return logits

    def state(self) -> dict[str, Tensor]:
        """The tensors by name, sharing their memory: do not write to them."""
        return self.module.state_dict()


def build_variant(
    clean: CleanModel,
    patches: PatchSet,
    available: Mapping[Digest, Patch],
    transferred: tuple[Digest, ...] = (),
) -> Variant:
    """Put a patch set on the clean model.

    Args:
        clean: left as it is.
        patches: the patch set.
        available: its patches by digest, already checked to fit.
        transferred: digests of those that come from other clean weights.

    Raises:
        TensorError: the patched weights are not finite.
    """
    tensors = patched_state(clean, patches, available)
    return Variant(
        patches=patches,
        sources={digest: available[digest] for digest, _ in patches},
        module=clean.sharing.with_tensors(tensors) if tensors else clean.module,
        patched=tuple(sorted(tensors)),
        digest=state_digest(clean.identity.clean_weights, patches),
        transferred=transferred,
    )


def patched_state(
    clean: CleanModel, patches: PatchSet, available: Mapping[Digest, Patch]
) -> dict[str, Tensor]:
    """Compute the tensors that a patch set touches, from the pristine clean weights."""
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
