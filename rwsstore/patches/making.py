"""From deltas to a patch."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from rwsstore import __version__
from rwsstore.errors import TensorError
from rwsstore.patches.fit import ModelIdentity
from rwsstore.patches.metadata import Kind, PatchMetadata
from rwsstore.patches.patch import Patch
from rwsstore.patches.quantization import check_bits, quantize


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

    Args:
        kind: what made the deltas.
        name: under which the patch is published unless told otherwise.
        model: the clean model that they belong to.
        layers: the patched layers, in forward order.
        deltas: float32 or float64, by tensor name, shaped as the model's tensors.
        bits: 32, 16, 8, 4, 3 or 2.
        **draft: further fields of `PatchMetadata`: corruption, severity, recipe, …

    Raises:
        TensorError: a delta is empty or not finite, or does not have its tensor's shape.
        ConfigError: `bits` or another field is out of its range.
    """
    check_bits(bits)
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
