"""Freeze what users see, as it is now: python -m tests.guards.freeze [SURFACE ...].

Only for a surface that changes on purpose, with an entry in the changelog; the diff of the frozen
file shows what changed.
"""

import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from tests.guards import (
    test_bytes,
    test_help,
    test_json_keys,
    test_names,
    test_openapi,
    test_sdk,
    test_states,
)
from tests.guards.frozen_files import write

SURFACES: Mapping[str, Callable[[], Any]] = MappingProxyType(
    {
        "bytes": test_bytes.surface,
        "states": test_states.surface,
        "openapi": test_openapi.surface,
        "help": test_help.surface,
        "json_keys": test_json_keys.surface,
        "sdk": test_sdk.surface,
        "names": test_names.frozen_anew,
    }
)


def main(names: list[str]) -> int:
    """Freeze some surfaces, by default all."""
    unknown = sorted(set(names) - set(SURFACES))
    if unknown:
        sys.stderr.write(f"no surface {unknown[0]!r}; there are {', '.join(SURFACES)}\n")
        return 2
    for name in names or SURFACES:
        sys.stdout.write(f"{write(name, SURFACES[name]())}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
