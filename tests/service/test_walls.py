"""The four walls of the service: which room knows which."""

import ast
from pathlib import Path

import pytest

import rwsstore_service

ROOT = Path(rwsstore_service.__file__).parent
KNOWS: dict[str, set[str]] = {
    "settings": set(),
    "wire": {"settings"},
    "engine": {"settings"},
    "api": {"settings", "wire", "engine"},
    "app": {"settings", "wire", "engine", "api"},
    "describe": {"settings", "api", "app"},
    "healthcheck": set(),
}
HTTP = {"fastapi", "starlette", "uvicorn", "h11", "prometheus_client", "http"}


def imported(room: str) -> set[str]:
    """Modules that a room's files name, inside functions too."""
    place = ROOT / room
    files = [*place.rglob("*.py")] if place.is_dir() else [place.with_suffix(".py")]
    found = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, file
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_these_are_all_rooms() -> None:
    modules = {path.stem for path in ROOT.glob("*.py")} - {"__init__"}
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert modules | packages == KNOWS.keys()


@pytest.mark.parametrize("room", KNOWS)
def test_a_room_knows_only_those_below(room: str) -> None:
    known = {name.split(".")[1] for name in imported(room) if name.startswith("rwsstore_service.")}
    assert known - {room} <= KNOWS[room]


def test_the_engine_knows_no_http() -> None:
    assert {name.split(".")[0] for name in imported("engine")} & HTTP == set()


def test_the_wire_is_of_no_framework() -> None:
    """It is ASGI: what FastAPI needs is the api's."""
    assert "fastapi" not in {name.split(".")[0] for name in imported("wire")}
