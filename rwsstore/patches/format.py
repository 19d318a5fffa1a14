"""The patch file: one safetensors file, written canonically and read strictly.

docs/understand/patch-format.md specifies it byte by byte.
"""

import json
import math
from collections.abc import Mapping

import torch
from pydantic import ValidationError
from safetensors.torch import save
from torch import Tensor

from rwsstore.canonical import canonical_json
from rwsstore.config import first_fault, short
from rwsstore.errors import FormatError, TensorError
from rwsstore.files import load_tensors
from rwsstore.patches import quantization
from rwsstore.patches.golden import Golden
from rwsstore.patches.metadata import PatchMetadata

MAX_PATCH_BYTES = 256 * 2**20
"""Larger files are refused before they are read."""

_KEY = "rwsstore"
_CLEAN, _PATCHED = "golden.clean", "golden.patched"


def write_patch_bytes(
    metadata: PatchMetadata, tensors: Mapping[str, quantization.Payload], golden: Golden | None
) -> bytes:
    """Write a patch file: the same patch gives the same bytes.

    Raises:
        TensorError: a code is out of its range; the tensor is named.
    """
    entries: dict[str, Tensor] = {}
    for name, payload in tensors.items():
        if isinstance(payload, quantization.RawTensor):
            entries[f"{name}.f32"] = payload.values
        else:
            try:
                packed = quantization.pack(payload.codes.numpy(), payload.bits)
            except TensorError as error:
                raise TensorError(f"patch: tensor {name + '.q'!r}: {error}") from None
            entries[f"{name}.q"] = torch.from_numpy(packed)
            entries[f"{name}.scale"] = payload.scale
    if golden is not None:
        entries[_CLEAN], entries[_PATCHED] = golden.clean, golden.patched
    contiguous = {name: tensor.contiguous() for name, tensor in entries.items()}
    text = canonical_json(metadata.model_dump(mode="json"))
    return save(contiguous, metadata={_KEY: text})


def read_patch_bytes(
    data: bytes,
) -> tuple[PatchMetadata, dict[str, quantization.Payload], Golden | None]:
    """Read a patch file, refusing whatever the specification does not allow.

    Raises:
        FormatError: it is not a patch file, or contradicts its own description.
        TensorError: a number in it is not finite, negative where that is meaningless, or out of
            range; the tensor is named.
    """
    if len(data) > MAX_PATCH_BYTES:
        raise FormatError(f"patch: {len(data)} bytes; at most {MAX_PATCH_BYTES} are read")
    entries, header = load_tensors(data, what="patch")
    metadata = _read_metadata(header.metadata)
    tensors = {
        name: _read_payload(entries, name, shape, metadata.tensors[name])
        for name, shape in metadata.shapes().items()
    }
    golden = _read_golden(entries, metadata)
    if entries:
        raise FormatError(f"patch: tensor '{short(min(entries))}' is not in its description")
    return metadata, tensors, golden


def _read_metadata(found: Mapping[str, str]) -> PatchMetadata:
    if set(found) != {_KEY}:
        keys = short(", ".join(sorted(found)))
        raise FormatError(f"patch: metadata keys are [{keys}]; expected [{_KEY}] alone")
    text = found[_KEY]
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise FormatError("patch: metadata is not JSON") from None
    version = document.get("version") if isinstance(document, dict) else None
    if version != 1 or isinstance(version, bool):  # of another one, nothing else can be said
        raise FormatError(
            f"patch: format version {short(str(version))}; this rwsstore reads version 1"
        )
    try:
        metadata = PatchMetadata.model_validate_json(text)
    except ValidationError as error:
        raise FormatError(f"patch: metadata {first_fault(error)}") from None
    if canonical_json(metadata.model_dump(mode="json")) != text:
        raise FormatError(
            "patch: metadata is not canonical JSON (every key, sorted, none twice; no spaces; "
            "numbers as their shortest decimal)"
        )
    return metadata


def _read_payload(
    entries: dict[str, Tensor], name: str, shape: tuple[int, ...], bits: int
) -> quantization.Payload:
    if bits == 32:
        values = _take(entries, f"{name}.f32", torch.float32, shape)
        _check_finite(f"{name}.f32", values)
        return quantization.RawTensor(values)
    scale = _take(entries, f"{name}.scale", torch.float32, shape[:1])
    _check_finite(f"{name}.scale", scale)
    if bool(torch.signbit(scale).any()):  # of -0 too
        raise TensorError(f"patch: tensor {name + '.scale'!r} holds a negative scale")
    if bool(((scale > 0) & (scale < quantization.SMALLEST_SCALE)).any()):
        raise TensorError(
            f"patch: tensor {name + '.scale'!r} holds a subnormal scale; a channel of zeros has 0"
        )
    count = math.prod(shape)
    packed = _take(entries, f"{name}.q", torch.uint8, (quantization.packed_size(count, bits),))
    try:
        codes = torch.from_numpy(quantization.unpack(packed.numpy(), count, bits)).reshape(shape)
    except (FormatError, TensorError) as error:
        raise type(error)(f"patch: tensor {name + '.q'!r}: {error}") from None
    if bool(codes[scale == 0].any()):
        raise TensorError(f"patch: tensor {name + '.q'!r} has codes in a channel of scale 0")
    return quantization.QuantizedTensor(codes, scale, bits)


def _read_golden(entries: dict[str, Tensor], metadata: PatchMetadata) -> Golden | None:
    if metadata.golden is None:
        return None
    clean, patched = entries.pop(_CLEAN, None), entries.pop(_PATCHED, None)
    if clean is None or patched is None:
        raise FormatError(f"patch: {_CLEAN!r} and {_PATCHED!r} are promised by its description")
    for name, logits in ((_CLEAN, clean), (_PATCHED, patched)):
        if logits.dtype != torch.float32 or logits.dim() != 2 or logits.numel() == 0:
            raise FormatError(f"patch: tensor {name!r} is not a float32 matrix of logits")
        _check_finite(name, logits)
    if clean.shape != patched.shape or len(clean) != metadata.golden.count:
        raise FormatError(f"patch: {_CLEAN!r} and {_PATCHED!r} do not fit the probe batch")
    return Golden(clean, patched)


def _take(
    entries: dict[str, Tensor], name: str, dtype: torch.dtype, shape: tuple[int, ...]
) -> Tensor:
    tensor = entries.pop(name, None)
    if tensor is None:
        raise FormatError(f"patch: tensor {name!r} is missing")
    if tensor.dtype != dtype or tuple(tensor.shape) != shape:
        raise FormatError(
            f"patch: tensor {name!r} is {tensor.dtype} {tuple(tensor.shape)}; expected {dtype} "
            f"{shape}"
        )
    return tensor


def _check_finite(name: str, values: Tensor) -> None:
    if not quantization.all_finite(values):
        raise TensorError(f"patch: tensor {name!r} holds NaN or infinity")
