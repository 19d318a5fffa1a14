"""Lazy package faces, on a package made for it."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

FACE = """
import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from a_house.dig import dig as dig
    from a_house.rooms import ROOM as ROOM
else:
    faces.lazy(__name__)
"""


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    package = tmp_path / "a_house"
    package.mkdir()
    (package / "__init__.py").write_text(FACE)
    (package / "dig.py").write_text("def dig(): return 'deeper'\nOTHER = 1\n")
    (package / "rooms.py").write_text("ROOM = 'kitchen'\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("a_house")
    for name in [name for name in sys.modules if name.partition(".")[0] == "a_house"]:
        del sys.modules[name]


def test_a_name_is_loaded_when_it_is_asked_for(house: ModuleType) -> None:
    assert "a_house.rooms" not in sys.modules
    assert {"ROOM", "dig"} <= set(dir(house))
    assert "a_house.rooms" not in sys.modules
    assert house.ROOM == "kitchen"
    assert "a_house.dig" not in sys.modules
    assert vars(house)["ROOM"] == "kitchen"


def test_a_module_of_the_same_name_does_not_hide_it(house: ModuleType) -> None:
    assert importlib.import_module("a_house.dig").OTHER == 1
    assert house.dig() == "deeper"


def test_all_names_come_with_a_star(house: ModuleType) -> None:
    found: dict[str, object] = {}
    exec("from a_house import *", found)
    assert "typing" not in found
    assert found["ROOM"] == "kitchen"


def test_what_it_does_not_offer_is_not_there(house: ModuleType) -> None:
    with pytest.raises(AttributeError, match=r"a_house.*OTHER"):
        house.OTHER  # noqa: B018
    with pytest.raises(ImportError, match="OTHER"):
        exec("from a_house import OTHER")
