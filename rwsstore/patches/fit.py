"""Patches and the model that they belong to: made for it, checked against it, measured by it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from rwsstore import __version__
from rwsstore.canonical import Digest
from rwsstore.config import first_fault, short
from rwsstore.errors import MismatchError, TensorError
from rwsstore.models import architecture_fingerprint, weights_fingerprint
from rwsstore.patches.metadata import Kind, ModelTensor, PatchMetadata
from rwsstore.patches.patch import Patch
from rwsstore.patches.quantization import quantize


@dataclass(frozen=True)
class ModelIdentity:
    """A clean model's fingerprints and the tensors that they cover, by name."""

    architecture: Digest
    clean_weights: Digest
    tensors: tuple[ModelTensor, ...]


def identify(state: Mapping[str, Tensor]) -> ModelIdentity:
    """Take a model's fingerprints from its `state_dict()`.

    Raises:
        TensorError: a tensor has no plain values, or a name that patches cannot store: over 512
            characters, or with control characters.
    """
    entries = []
    for name, tensor in sorted(state.items()):
        dtype = str(tensor.dtype).removeprefix("torch.")
        try:
            entries.append(ModelTensor(name=name, shape=tuple(tensor.shape), dtype=dtype))
        except ValidationError as error:
            raise TensorError(
                f"tensor '{short(name)}' of the model: {first_fault(error)}"
            ) from None
    return ModelIdentity(
        architecture_fingerprint(state), weights_fingerprint(state), tuple(entries)
    )


def check_fit(patch: Patch, model: ModelIdentity, *, allow_transfer: bool = False) -> bool:
    """Check that a patch fits a clean model.

    Returns:
        Whether it is transferred: extracted from other clean weights of the same architecture.

    Raises:
        MismatchError: another architecture (the first difference is named), or other clean
            weights without `allow_transfer`.
    """
    metadata = patch.metadata
    if metadata.architecture != model.architecture:
        raise MismatchError(
            f"patch {patch.name!r} is for another architecture: "
            + _first_difference(metadata.model, model.tensors)
        )
    if metadata.clean_weights == model.clean_weights:
        return False
    if not allow_transfer:
        raise MismatchError(
            f"patch {patch.name!r} was extracted from the clean weights "
            f"{metadata.clean_weights[:12]}, this model has {model.clean_weights[:12]}; "
            "transfer must be asked for (--allow-transfer, allow_transfer=True)"
        )
    return True


def _first_difference(expected: Sequence[ModelTensor], found: Sequence[ModelTensor]) -> str:
    for left, right in zip_longest(expected, found):
        if left == right:
            continue
        if right is None or (left is not None and left.name < right.name):
            return f"its model has {_show(left)}, this one has no such tensor"
        if left is None or right.name < left.name:
            return f"this model has {_show(right)}, its model has no such tensor"
        return f"its model has {_show(left)}, this one {_show(right)}"
    return "the fingerprints differ"


def _show(entry: ModelTensor) -> str:
    return f"{entry.name!r} of {entry.dtype}{list(entry.shape)}"


_MOST_BYTES = 2**63 - 1
"""Of what a description claims: its shapes may be as large as anybody writes them."""


@dataclass(frozen=True)
class Reach:
    """How much of its model a patch touches, at whatever strength.

    Attributes:
        layers: the patched layers, in forward order; of a composed patch those of its parts, in
            the order in which the parts name them.
        weights: tensors of two dimensions and more that it touches, of `model_weights`.
        touched_bytes: of the model's tensors that it touches, of `model_bytes`, buffers with them.
    """

    layers: tuple[str, ...]
    weights: int
    model_weights: int
    touched_bytes: int
    model_bytes: int

    @property
    def share(self) -> float:
        """Touched bytes of the model's, 0 to 1."""
        return self.touched_bytes / self.model_bytes


def reach_of(patch: PatchMetadata, parts: Iterable[PatchMetadata] = ()) -> Reach:
    """Measure how much of its model a patch touches.

    A composed one touches what its parts touch, each tensor counted once.
    """
    every = [patch, *parts]
    touched = {name for metadata in every for name in metadata.tensors}
    own = [entry for entry in patch.model if entry.name in touched]
    return Reach(
        layers=tuple(dict.fromkeys(name for metadata in every for name in metadata.layers)),
        weights=sum(len(entry.shape) >= 2 for entry in own),
        model_weights=sum(len(entry.shape) >= 2 for entry in patch.model),
        touched_bytes=_bytes(own),
        model_bytes=_bytes(patch.model),
    )


def _bytes(entries: Iterable[ModelTensor]) -> int:
    """Those of types that this torch does not know are not counted."""
    total = 0
    for entry in entries:
        dtype = getattr(torch, entry.dtype, None)
        if isinstance(dtype, torch.dtype):
            total += math.prod(entry.shape) * dtype.itemsize
    return min(total, _MOST_BYTES)


def make_patch(
    *,
    kind: Kind,
    name: str,
    model: ModelIdentity,
    layers: tuple[str, ...],
    deltas: Mapping[str, Tensor],
    bits: int,
    **draft: Any,
) -> Patch:
    """Quantize deltas and make a patch of them.

    Layers stand in forward order; deltas are float32 or float64, by tensor name, shaped as the
    model's tensors; `draft` are further fields of `PatchMetadata`: corruption, severity, recipe, …

    Raises:
        TensorError: a delta is empty or not finite, or does not have its tensor's shape.
        ConfigError: `bits` or another field is out of its range.
    """
    shapes = {entry.name: entry.shape for entry in model.tensors}
    tensors = {}
    for tensor, delta in deltas.items():
        if shapes.get(tensor) != tuple(delta.shape):
            raise TensorError(
                f"delta {tensor!r} has shape {tuple(delta.shape)}; the model's tensor has "
                f"{shapes.get(tensor, 'no such name')}"
            )
        try:
            tensors[tensor] = quantize(delta, bits)
        except TensorError as error:
            raise TensorError(f"delta {tensor!r}: {error}") from None
    metadata = PatchMetadata.make(
        kind=kind,
        name=name,
        architecture=model.architecture,
        clean_weights=model.clean_weights,
        model=model.tensors,
        layers=layers,
        tensors={tensor: payload.bits for tensor, payload in tensors.items()},
        bits=bits,
        tool=f"rwsstore {__version__}",
        **draft,
    )
    return Patch.build(metadata, tensors, None)
