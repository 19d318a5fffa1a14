"""Canonical JSON and SHA-256: the one way in which rwsstore writes what it hashes."""

__all__ = ["Digest", "canonical_json", "sha256_hex"]

import hashlib
import json
from typing import Any

Digest = str
"""64 lower-case hexadecimal digits of a SHA-256."""


def canonical_json(value: Any) -> str:
    """Write JSON with sorted keys, no spaces and ASCII only.

    Floats come out as their shortest decimal that reads back to the same float64.

    Raises:
        ValueError: the value holds NaN or an infinity.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def sha256_hex(data: bytes) -> Digest:
    """Hash bytes to 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
