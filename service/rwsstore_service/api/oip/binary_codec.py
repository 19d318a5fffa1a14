"""The binary tensor extension: tensors behind the JSON, little-endian and without gaps."""

__all__ = ["read_tensor", "split_body", "write_floats", "write_texts"]

import struct
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rwsstore_service.api.oip.contract import FP32, UINT8
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


def read_tensor(data: memoryview, shape: tuple[int, ...], datatype: str) -> Tensor:
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
