"""Tensors and bodies in the protocol's two forms: JSON, and the binary tensor data extension."""

import json
import struct
from array import array
from collections.abc import Iterable
from itertools import chain
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rwsstore.canonical import read_json
from rwsstore_service.api.oip.contract import FP32, UINT8, JsonLimits
from rwsstore_service.wire.problems import ProblemError

_TYPES: dict[str, np.dtype[Any]] = {UINT8: np.dtype(np.uint8), FP32: np.dtype("<f4")}
_MOST_DIGITS = 18


def split_body(body: bytes, header_length: str | None) -> tuple[memoryview, memoryview]:
    """Tell the JSON of a request from what stands behind it.

    Args:
        body: the whole.
        header_length: value of Inference-Header-Content-Length; None where there is none, and all
            is JSON.

    Raises:
        ProblemError: `bad-request`, the length is not one, or more than there is.
    """
    view = memoryview(body)
    if header_length is None:
        return view, view[len(view) :]
    digits = header_length.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS):
        raise ProblemError(
            "bad-request", "Inference-Header-Content-Length is not a number of bytes"
        )
    length = int(digits)
    if not 1 <= length <= len(view):
        raise ProblemError(
            "bad-request",
            f"Inference-Header-Content-Length is {length}; expected the length of the JSON, "
            f"from 1 to the body's {len(view)} bytes",
        )
    return view[:length], view[length:]


def read_binary(data: memoryview, shape: tuple[int, ...], datatype: str) -> Tensor:
    """Make a tensor of its bytes.

    Args:
        data: as many bytes as shape and datatype have; they are copied.
        shape: of the tensor.
        datatype: UINT8 or FP32.

    Returns:
        uint8 or float32, of that shape.
    """
    wire = _TYPES[datatype]
    # The copy is aligned and may be written to, as torch wants it.
    numbers = np.frombuffer(data, dtype=wire).astype(wire.newbyteorder("="), copy=True)
    return torch.from_numpy(numbers).reshape(shape)


def write_floats(tensor: Tensor) -> bytes:
    """Write float32 numbers."""
    return tensor.numpy().astype("<f4", copy=False).tobytes()


def write_texts(texts: Iterable[str]) -> bytes:
    """Write BYTES: each text in UTF-8, its length of four bytes before it."""
    encoded = [text.encode() for text in texts]
    return b"".join(part for text in encoded for part in (struct.pack("<I", len(text)), text))


def parse_json(data: bytes | memoryview, limits: JsonLimits) -> Any:
    """Read JSON strictly, whatever somebody wrote into it.

    What would become of it is counted before anything is built: three bytes of text can become a
    list of 64 bytes.

    Raises:
        ProblemError: `too-large`, or not JSON, nested too deeply, with a name twice in an object,
            with NaN, or with a number too long to be one (`bad-request`).
    """
    _check("bytes", len(data), limits.size)
    text = bytes(data)
    _check("commas", text.count(b","), limits.items)
    _check("lists and objects", text.count(b"[") + text.count(b"{"), limits.containers)
    try:
        return read_json(text)
    except ValueError as error:
        raise ProblemError("bad-request", f"the JSON cannot be read: {error}") from None


def read_numbers(data: object, shape: tuple[int, ...], datatype: str) -> Tensor:
    """Make a tensor of numbers in JSON, in one flat list or in lists nested as the shape says.

    Args:
        data: as it was read.
        shape: of the tensor; its product has been checked.
        datatype: UINT8 or FP32.

    Returns:
        uint8 or float32, of that shape.

    Raises:
        ProblemError: `invalid-request`.
    """
    numbers = _flatten(data, shape)
    tensor = _READERS[datatype](numbers)
    return tensor.reshape(shape)


def write_json(value: object) -> bytes:
    """Write JSON without spaces; a float32 that was made a float reads back bit for bit."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _check(what: str, found: int, most: int) -> None:
    if found > most:
        raise ProblemError("too-large", f"the JSON has {found} {what}; at most {most} are read")


def _flatten(data: object, shape: tuple[int, ...]) -> list[Any]:
    if not isinstance(data, list):
        raise _refused("data is not a list of numbers")
    if not data or not isinstance(data[0], list):
        if len(data) != prod(shape):
            raise _refused(f"data has {len(data)} numbers; shape {list(shape)} has {prod(shape)}")
        return data
    level: list[Any] = [data]
    for depth, size in enumerate(shape):
        if any(type(item) is not list or len(item) != size for item in level):
            raise _refused(
                f"data is nested otherwise than shape {list(shape)}: expected lists of {size} at "
                f"depth {depth + 1}"
            )
        level = list(chain.from_iterable(level))
    return level


def _read_bytes(numbers: list[Any]) -> Tensor:
    if set(map(type, numbers)) != {int}:
        raise _refused("data of UINT8 holds something that is not an integer")
    try:
        return torch.frombuffer(bytearray(numbers), dtype=torch.uint8)
    except (ValueError, OverflowError):
        raise _refused("data of UINT8 holds a number that is not within 0 to 255") from None


def _read_floats(numbers: list[Any]) -> Tensor:
    if not set(map(type, numbers)) <= {int, float}:
        raise _refused("data of FP32 holds something that is not a number")
    try:
        return torch.frombuffer(array("f", numbers), dtype=torch.float32)
    except OverflowError:
        raise _refused("data of FP32 holds a number that is not within [0, 1]") from None


_READERS = {UINT8: _read_bytes, FP32: _read_floats}


def _refused(found: str) -> ProblemError:
    return ProblemError("invalid-request", f"images: {found}")
