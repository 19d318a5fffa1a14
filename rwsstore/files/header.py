"""The strict pass over a safetensors header, and the tensors of the very bytes that it saw.

A safetensors file is 8 bytes (little-endian length N of the header), N bytes of JSON, then the
tensors' bytes. The JSON maps each tensor's name to its dtype, shape and byte range in the rest;
`__metadata__` maps strings to strings. The safetensors library accepts duplicate keys, unknown
fields and much else; this pass accepts what the library writes, and nothing more.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from rwsstore.canonical import read_json
from rwsstore.errors import FormatError

MAX_HEADER_BYTES = 1 << 20
"""The longest header that is read: 1 MiB."""

MAX_TENSORS = 10_000
"""The most tensors that a file may hold."""

MAX_DIMENSIONS = 16
"""The most dimensions that a tensor may have."""

ITEM_BYTES: Mapping[str, int] = MappingProxyType(
    {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
    | {"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
)
"""The dtypes that are read, with the bytes of one element."""

_LENGTH_BYTES = 8
_MAX_INT = 2**63 - 1
_METADATA = "__metadata__"
_FIELDS = frozenset({"dtype", "shape", "data_offsets"})


@dataclass(frozen=True)
class TensorEntry:
    """Where a tensor lies: bytes `start` to `end` (exclusive) of the data after the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    """A safetensors header that passed every check; the tensors' bytes begin at `data_start`."""

    tensors: Mapping[str, TensorEntry]
    metadata: Mapping[str, str]
    data_start: int


def read_header(data: bytes, *, what: str) -> Header:
    """Check and read the header of a whole safetensors file.

    Args:
        data: the whole file; its length is checked against the header.
        what: what the file is called in messages ("patch", "checkpoint").

    Raises:
        FormatError: the file is cut, has trailing bytes, a header over 1 MiB or over 10,000
            tensors; a duplicate key, unknown or missing field, a dtype that is not read; byte
            ranges that overlap, leave holes or disagree with dtype and shape.
    """
    try:
        data_start, fields = _fields(data)
        metadata = _metadata(fields.pop(_METADATA, {}))
        if len(fields) > MAX_TENSORS:
            raise FormatError(f"{len(fields)} tensors; at most {MAX_TENSORS} are read.")
        tensors = {name: _entry(name, value) for name, value in fields.items()}
        _check_layout(tensors, len(data) - data_start)
    except FormatError as error:
        raise FormatError(f"{what}: {error}") from None
    return Header(MappingProxyType(tensors), MappingProxyType(metadata), data_start)


def _fields(data: bytes) -> tuple[int, dict[str, Any]]:
    """Where the header ends, and what it holds."""
    if len(data) < _LENGTH_BYTES:
        raise FormatError(f"{len(data)} bytes; a safetensors file begins with 8 bytes of length.")
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise FormatError(f"header of {length} bytes; at most {MAX_HEADER_BYTES} are read.")
    end = _LENGTH_BYTES + length
    if end > len(data):
        raise FormatError(
            f"header of {length} bytes in a file that has {len(data) - _LENGTH_BYTES} after its "
            "length: the file is cut short."
        )
    raw = data[_LENGTH_BYTES:end]
    # The library pads the header with spaces at the end, never at the beginning.
    if raw[:1] != b"{" or not raw.rstrip(b" ").endswith(b"}"):
        raise FormatError("the header is not one JSON object from its first byte on.")
    try:
        return end, read_json(raw)  # an object, for it begins with a brace
    except ValueError as error:
        raise FormatError(f"the header is not JSON: {error}.") from None


def _metadata(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise FormatError(f"{_METADATA} is a {type(value).__name__}; an object was expected.")
    for key, text in value.items():
        _check_unicode(key)
        if not isinstance(text, str):
            raise FormatError(f"metadata {_short(key)} is not a string.")
        _check_unicode(text)
    return value


def _entry(name: str, value: object) -> TensorEntry:
    _check_unicode(name)
    if not isinstance(value, dict) or value.keys() != _FIELDS:
        keys = sorted(value) if isinstance(value, dict) else type(value).__name__
        raise FormatError(
            f"tensor {_short(name)} has {_short(keys)}; exactly {sorted(_FIELDS)} were expected."
        )
    dtype = value["dtype"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise FormatError(
            f"tensor {_short(name)} has dtype {_short(dtype)}; read are {', '.join(ITEM_BYTES)}."
        )
    shape = _whole_numbers(name, "shape", value["shape"])
    if len(shape) > MAX_DIMENSIONS:
        raise FormatError(
            f"tensor {_short(name)} has {len(shape)} dimensions; at most {MAX_DIMENSIONS} are read."
        )
    offsets = _whole_numbers(name, "data_offsets", value["data_offsets"])
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise FormatError(f"tensor {_short(name)} has data_offsets {_short(list(offsets))}.")
    # An empty dimension hides an overflow from the product, but not from whoever strides over it.
    if math.prod(max(size, 1) for size in shape) * ITEM_BYTES[dtype] > _MAX_INT:
        raise FormatError(f"tensor {_short(name)}: shape {list(shape)} overflows.")
    wanted, found = math.prod(shape) * ITEM_BYTES[dtype], offsets[1] - offsets[0]
    if found != wanted:
        raise FormatError(
            f"tensor {_short(name)} has {found} bytes; {dtype} of shape {list(shape)} takes "
            f"{wanted}."
        )
    return TensorEntry(dtype, shape, offsets[0], offsets[1])


def _whole_numbers(name: str, field: str, value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or any(type(item) is not int for item in value):
        raise FormatError(f"tensor {_short(name)}: {field} is not a list of whole numbers.")
    if any(not 0 <= item <= _MAX_INT for item in value):
        raise FormatError(f"tensor {_short(name)}: {field} {_short(value)} is out of range.")
    return tuple(value)


def _check_layout(tensors: Mapping[str, TensorEntry], size: int) -> None:
    """Hold the byte ranges to one after the other, without overlap, hole or rest."""
    position = 0
    for name, entry in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.start != position:
            kind = "overlaps the one before" if entry.start < position else "leaves a hole before"
            raise FormatError(
                f"tensor {_short(name)} begins at byte {entry.start} and {kind}; {position} was "
                "expected."
            )
        position = entry.end
    if position != size:
        raise FormatError(f"the tensors take {position} bytes, the file holds {size}.")


def _check_unicode(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise FormatError(f"{_short(text)} in the header is not Unicode text.") from None


def _short(value: object) -> str:
    """A value as a message shows it: in ASCII, and never as long as an attacker likes."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def load_tensors(data: bytes, *, what: str) -> tuple[dict[str, Tensor], Header]:
    """Check a whole safetensors file and read its tensors, on the CPU, in memory of their own.

    Args:
        data: the whole file. Never a path: what was hashed is what is parsed.
        what: what the file is called in messages ("patch", "checkpoint").

    Returns:
        The tensors by name, and the header.

    Raises:
        FormatError: as `read_header`, or the safetensors library refuses the file.
    """
    header = read_header(data, what=what)
    try:
        return safetensors.torch.load(data), header
    except safetensors.SafetensorError as error:
        raise FormatError(f"{what}: {error}.") from error
