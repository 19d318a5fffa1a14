"""How much of its model a patch touches."""

__all__ = ["Reach", "reach_of"]

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from rwsstore.patches.metadata import PatchMetadata, TensorEntry

_MOST_BYTES = 2**63 - 1
"""Of what a description claims: its shapes may be as large as anybody writes them."""


@dataclass(frozen=True)
class Reach:
    """How much of its model a patch touches, at whatever strength.

    Attributes:
        layers: the patched layers, in forward order; of a composed patch those of its parts, in
            the order in which the parts name them.
        weights: tensors of two dimensions and more that it touches: the weights of layers.
        model_weights: such tensors of the model.
        touched_bytes: of the model's tensors that it touches, in float32.
        model_bytes: of all the model's tensors, buffers with them.
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

    Args:
        patch: its description. A composed one touches what its parts touch, each tensor counted
            once.
        parts: descriptions of all parts of a composed patch.
    """
    every = [patch, *parts]
    touched = {name for metadata in every for name in metadata.tensors}
    own = [entry for entry in patch.model if entry.name in touched]
    return Reach(
        layers=_layers(every),
        weights=_weights(own),
        model_weights=_weights(patch.model),
        touched_bytes=_bytes(own),
        model_bytes=_bytes(patch.model),
    )


def _layers(every: Iterable[PatchMetadata]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for metadata in every for name in metadata.layers))


def _weights(entries: Iterable[TensorEntry]) -> int:
    return sum(len(entry.shape) >= 2 for entry in entries)


def _bytes(entries: Iterable[TensorEntry]) -> int:
    return min(sum(math.prod(entry.shape) * _item(entry.dtype) for entry in entries), _MOST_BYTES)


def _item(dtype: str) -> int:
    """Bytes of one number; of a type that this torch does not know none are counted."""
    found = getattr(torch, dtype, None)
    return found.itemsize if isinstance(found, torch.dtype) else 0
