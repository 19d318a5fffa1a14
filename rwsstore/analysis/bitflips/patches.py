"""A patch as it lies in memory beside a clean model."""

__all__ = ["StoredPatch"]

from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor, nn

from rwsstore.analysis.bitflips.formats import FORMATS, flip
from rwsstore.analysis.bitflips.memory import (
    Change,
    Memory,
    StoredArray,
    flat_copy,
    layers_of,
    tensor_of,
)
from rwsstore.errors import ConfigError
from rwsstore.patches import Patch, Payload, QuantizedTensor, check_fit, identify, patched_tensor


class StoredPatch(Memory):
    """The codes, scales and float32 deltas of a patch; the clean weights beneath stay intact.

    A flip of a code or delta changes one weight, a flip of a scale an output channel. The weights
    are then those of `rwsstore.patches.patched_tensor`, except that they may be of any value, and a
    code may become −2^(bits−1), which no patch file holds.

    Args:
        model: the clean model.
        patch: that belongs on it, not composed.
        alpha: its strength; None: the recommended one.
        allow_transfer: accept a patch of other clean weights.

    Raises:
        ConfigError: the patch is composed, its strength out of range or 0, or the model cannot be
            copied.
        MismatchError: the patch does not belong on the model.
        TensorError: the patched weights are not finite.
    """

    def __init__(
        self,
        model: nn.Module,
        patch: Patch,
        alpha: float | None = None,
        *,
        allow_transfer: bool = False,
    ) -> None:
        if not patch.tensors:
            raise ConfigError(f"patch {patch.name!r} is composed and stores no deltas: name a part")
        strengths = patch.metadata.alpha
        self._alpha = strengths.check(strengths.recommended if alpha is None else alpha, patch.name)
        if self._alpha == 0:
            raise ConfigError(f"patch {patch.name!r} at strength 0 does nothing, whatever flips")
        check_fit(patch, identify(model.state_dict()), allow_transfer=allow_transfer)
        self.model, self._payloads = flat_copy(model), patch.tensors
        self.format = f"patch {patch.name}, {patch.metadata.bits} bits, strength {self._alpha:g}"
        self._clean: dict[str, Tensor] = {}
        layers, arrays = layers_of(self.model), list[StoredArray]()
        for name, payload in patch.tensors.items():
            values = tensor_of(self.model, name)
            self._clean[name] = values.cpu().clone()
            values.copy_(patched_tensor(name, self._clean[name], [(payload, self._alpha)]))
            arrays += _arrays(name, layers.get(name, name.rpartition(".")[0]), payload)
        self.arrays = tuple(arrays)

    def change(self, array: int, index: int, bit: int) -> Change:
        """Say what a flip does; it changes a weight, or an output channel's."""
        row = self.arrays[array]
        payload, clean = self._payloads[row.parameter], self._clean[row.parameter].view(-1)
        start, part = _part(payload, row, index)
        delta = _flipped(part, row, bit).delta(self._alpha).view(-1)
        return Change(row.parameter, start, clean[start : start + len(delta)] + delta)


def _arrays(name: str, layer: str, payload: Payload) -> Iterator[StoredArray]:
    """What is stored of a tensor, named as in a patch file."""
    if not isinstance(payload, QuantizedTensor):
        count = payload.values.numel()
        yield StoredArray(f"{name}.f32", name, layer, count, FORMATS["float32"])
        return
    form, count = FORMATS[f"int{payload.bits}"], payload.codes.numel()
    yield StoredArray(f"{name}.q", name, layer, count, form)
    yield StoredArray(f"{name}.scale", name, layer, payload.scale.numel(), FORMATS["float32"])


def _part(payload: Payload, row: StoredArray, index: int) -> tuple[int, Payload]:
    """The part of a payload that one stored number decides about, and where it begins."""
    if not isinstance(payload, QuantizedTensor):
        return index, replace(payload, values=payload.values.reshape(-1)[index : index + 1])
    size = payload.codes.numel() // payload.scale.numel()
    channel = index if row.name.endswith(".scale") else index // size
    start, length = (index * size, size) if row.name.endswith(".scale") else (index, 1)
    codes = payload.codes.reshape(-1)[start : start + length]
    scale = payload.scale[channel : channel + 1]
    return start, QuantizedTensor(codes[None], scale, payload.bits)


def _flipped(part: Payload, row: StoredArray, bit: int) -> Payload:
    if not isinstance(part, QuantizedTensor):
        return replace(part, values=flip(part.values, bit, row.form))
    if row.name.endswith(".scale"):
        return replace(part, scale=flip(part.scale, bit, row.form))
    return replace(part, codes=flip(part.codes, bit, row.form))
