"""The product is on the ground floors: what serves and looks at patches loads no laboratory."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from rwsstore import plugins
from rwsstore.moved import PACKAGES

BELOW = ("attacks", "measure", "probes", "training", "making", "speed")
"""What stands below the line of the layout."""

MOVED = ("bundle", *(name.split(".")[1] for name in PACKAGES))
"""What stood there under other names."""

SERVICE = "rwsstore_service.app"
COMMANDS = tuple(f"rwsstore.cli.{command}" for command in ("store", "apply", "inspect"))

_PLUGIN = "this"
"""A module that can be imported, and that nobody does."""

_PROGRAM = """
import sys
from importlib import import_module
for module in sys.argv[1:]:
    import_module(module)
    print(*sys.modules)
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    """What one fresh interpreter has after each import, the service's first."""
    modules = (SERVICE, *COMMANDS, "rwsstore.cli.main")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _PROGRAM, *modules],
        env={**os.environ, plugins.VARIABLE: _PLUGIN},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = [set(line.split()) for line in done.stdout.splitlines()]
    return dict(zip(modules, found, strict=True))


def rooms(names: set[str]) -> set[str]:
    """The library's packages among modules."""
    return {name.split(".")[1] for name in names if name.startswith("rwsstore.")}


def test_these_rooms_are_there() -> None:
    assert all(find_spec(f"rwsstore.{room}") for room in (*BELOW, *MOVED, "cli"))


def test_the_service_loads_nothing_from_below_the_line(loaded: dict[str, set[str]]) -> None:
    assert SERVICE in loaded[SERVICE]
    assert not rooms(loaded[SERVICE]) & {*BELOW, *MOVED, "cli"}


def test_the_service_answers_with_the_sdks_contract_and_loads_no_httpx(
    loaded: dict[str, set[str]],
) -> None:
    assert "rwsstore_client.contract" in loaded[SERVICE]
    assert "httpx" not in loaded[SERVICE]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_that_only_look_at_patches_load_nothing_from_there(
    command: str, loaded: dict[str, set[str]]
) -> None:
    assert command in loaded[command]
    assert not rooms(loaded[command]) & {*BELOW, *MOVED}


def test_no_import_loads_a_plugin(loaded: dict[str, set[str]]) -> None:
    assert not any(_PLUGIN in names for names in loaded.values())
    assert "rwsstore.cli.main" in loaded["rwsstore.cli.main"]
