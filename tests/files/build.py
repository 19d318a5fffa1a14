"""Safetensors files, built byte by byte."""

import json
from typing import Any


def entry(start: int, end: int, *, dtype: str = "U8", shape: Any = None) -> dict[str, Any]:
    """A header entry of one tensor, of one dimension unless told otherwise."""
    return {
        "dtype": dtype,
        "shape": [end - start] if shape is None else shape,
        "data_offsets": [start, end],
    }


def pack(header: dict[str, Any] | str | bytes, data: bytes = b"", *, length: int = -1) -> bytes:
    """A file of this header and data; `length` lies about the header's where given."""
    if isinstance(header, dict):
        header = json.dumps(header, separators=(",", ":"))
    raw = header.encode() if isinstance(header, str) else header
    return (len(raw) if length < 0 else length).to_bytes(8, "little") + raw + data
