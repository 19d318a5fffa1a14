"""JSON and SHA-256: the one way in which rwsstore writes what it hashes, and reads strangers."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

Digest = str
"""64 lower-case hexadecimal digits of a SHA-256."""

DIGEST_PATTERN = r"^[0-9a-f]{64}$"


def canonical_json(value: Any) -> str:
    """Write JSON with sorted keys, no spaces and ASCII only.

    Floats come out as their shortest decimal that reads back to the same float64.

    Raises:
        ValueError: the value holds NaN or an infinity.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def read_json(data: bytes, *, constants: bool = False) -> Any:
    """Read JSON of unknown origin, strictly.

    Args:
        data: UTF-8. How long it may be is the caller's to say.
        constants: let NaN and infinities through, for somebody who refuses them by name.

    Raises:
        ValueError: it is none, nested too deeply, has a name twice in one object, a number too
            long to be one, or NaN. The message is ASCII.
    """
    refuse = None if constants else _refuse_constant
    try:
        return json.loads(str(data, "utf-8"), object_pairs_hook=_unique, parse_constant=refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in pairs:
        if name in made:
            raise ValueError(f"name {name[:60]!a} appears twice in one object")
        made[name] = value
    return made


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def sha256_hex(data: bytes) -> Digest:
    """Hash bytes to 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def derive_seed(*key: int | str) -> int:
    """Make an independent seed, 0 to 2^62 − 1, of a run's seed and the part's name and number."""
    return int(sha256_hex(canonical_json(key).encode())[:16], 16) >> 2


def key_part(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Say what a key of resumable work holds of a recipe, an attack or a command's options.

    No class and no module is named, so that work is found again after these were renamed or moved.

    Args:
        name: its own, which stays.
        options: what distinguishes it from others of that name; JSON values, tuples, infinities.

    Returns:
        JSON values; an infinity is "inf" or "-inf".
    """
    values = {
        field: str(value) if isinstance(value, float) and math.isinf(value) else value
        for field, value in options.items()
    }
    return {"name": name, "options": values}


def first_difference(found: Any, wanted: Any, where: str = "") -> str | None:
    """Say where two JSON values differ first.

    Args:
        found: what was recorded.
        wanted: what is asked for now.
        where: the path to both, for messages.

    Returns:
        As in "training.epochs was 3, and is 4 now"; None where they are equal.
    """
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in sorted({*found, *wanted}):
            path = f"{where}.{key}" if where else key
            inner = first_difference(found.get(key), wanted.get(key), path)
            if inner is not None:
                return inner
        return None
    return None if found == wanted else f"{where} was {_short(found)}, and is {_short(wanted)} now"


def _short(value: Any) -> str:
    text = canonical_json(value)
    return text if len(text) <= 60 else text[:57] + "..."
