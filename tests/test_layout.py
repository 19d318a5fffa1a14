"""The product is on the ground floors: what serves and looks at patches loads no laboratory."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

from rwsstore.moved import PACKAGES

BELOW = ("attacks", "measure", "probes", "training", "making", "speed")
"""What stands below the line of the layout."""

MOVED = ("bundle", *(name.split(".")[1] for name in PACKAGES))
"""What stood there under other names."""

_LOADED = """
import sys
import {module}
print(*sorted(sys.modules), sep="\\n")
"""


def loaded(module: str) -> set[str]:
    """Which packages of the library a fresh interpreter has after one import."""
    program = [sys.executable, "-c", _LOADED.format(module=module)]
    names = subprocess.run(program, check=True, capture_output=True, text=True).stdout.split()
    assert module in names
    return {name.split(".")[1] for name in names if name.startswith("rwsstore.")}


def test_these_rooms_are_there() -> None:
    assert all(find_spec(f"rwsstore.{room}") for room in (*BELOW, *MOVED, "cli"))


def test_the_service_loads_nothing_from_below_the_line() -> None:
    assert not loaded("rwsstore_service.app") & {*BELOW, *MOVED, "cli"}


@pytest.mark.parametrize("command", ["store", "apply", "inspect"])
def test_commands_that_only_look_at_patches_load_nothing_from_there(command: str) -> None:
    assert not loaded(f"rwsstore.cli.{command}") & {*BELOW, *MOVED}
