"""Where an interrupted probe keeps what it has measured."""

__all__ = ["kept_results"]

from collections.abc import Mapping
from typing import Any

import platformdirs

from rwsstore.canonical import canonical_json, sha256_hex
from rwsstore.files import Results


def kept_results(probe: str, identity: Mapping[str, Any]) -> Results:
    """Open the results of this very run; call `forget` on them when it is finished.

    Args:
        probe: name of the command.
        identity: JSON values that the numbers depend on: options, model, images.
    """
    digest = sha256_hex(canonical_json(identity).encode())[:16]
    folder = platformdirs.user_cache_path("rwsstore", appauthor=False) / "probes"
    return Results(folder / f"{probe}-{digest}.json", identity)
