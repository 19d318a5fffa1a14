"""The figures of scripts/house.py, on a small made-up tree and on this one."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.house import Source, circles, measure, page, private_functions, two_meanings

SCRIPT = str(Path(__file__).parents[1] / "scripts/house.py")

FILES = {
    "rwsstore/__init__.py": '"""The library."""\n',
    "rwsstore/store/__init__.py": "from rwsstore.runtime.live import Layout\n",
    "rwsstore/store/files.py": "class Layout:\n    pass\n",
    "rwsstore/runtime/__init__.py": "",
    "rwsstore/runtime/live.py": """\
class Layout:
    def apply(self):
        from rwsstore.store import files

        return _once(files) + self._twice() + self._twice()

    def _twice(self):
        return 2


def _once(files):
    return _once(files) if files else 1
""",
    "rwsstore/errors.py": "class RwsError(Exception):\n    pass\n",
    "service/rwsstore_service/__init__.py": "from rwsstore.store import Layout\n",
    "service/rwsstore_service/app.py": "class Job:\n    pass\n\n\nclass _Layout:\n    pass\n",
    "clients/python/rwsstore_client/__init__.py": "class Job:\n    pass\n",
    "elsewhere/rwsstore.py": "1\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_a_circle_is_found_through_an_import_in_a_function(tree: Path) -> None:
    assert measure(tree)["circles"] == {
        "rwsstore": [["rwsstore.runtime", "rwsstore.store"]],
        "service": [],
    }


def test_rooms_that_lead_to_a_circle_are_not_in_it() -> None:
    leads = {"a": "b", "b": "c", "c": "b", "d": "a", "e": "f", "f": "e"}
    group = [
        Source(f"rwsstore/{room}.py", f"from rwsstore.{other} import x\n")
        for room, other in leads.items()
    ]
    assert circles("rwsstore", group) == [
        ["rwsstore.b", "rwsstore.c"],
        ["rwsstore.e", "rwsstore.f"],
    ]


def test_a_class_defined_twice_has_two_meanings(tree: Path) -> None:
    assert measure(tree)["two_meanings"] == {
        "Layout": ["rwsstore.runtime.live", "rwsstore.store.files"]
    }


def test_a_name_is_looked_for_at_the_top_only() -> None:
    text = "class Outer:\n    class Inner:\n        pass\n"
    group = [Source("rwsstore/a.py", text), Source("rwsstore/b.py", text.replace("Outer", "Other"))]
    assert two_meanings(group) == {}


def test_what_is_generated_is_not_counted(tree: Path) -> None:
    before = measure(tree)
    made = tree / "clients/python/rwsstore_client/made.py"
    made.write_text("# Generated from written.py by scripts/make.py\nA = 1\n")
    assert measure(tree) == before
    made.write_text("A = 1\n# Generated from written.py by scripts/make.py\n")
    assert measure(tree)["lines"]["clients"] == before["lines"]["clients"] + 2


def test_calling_itself_is_not_a_call(tree: Path) -> None:
    private = measure(tree)["library_private"]
    assert private == {"number": 2, "called_once": 1, "share": 0.5}


def test_what_another_file_calls_does_not_count() -> None:
    group = [
        Source("rwsstore/a.py", "def _a():\n    pass\n"),
        Source("rwsstore/b.py", "from rwsstore.a import _a\n_a()\n"),
    ]
    assert private_functions(group)["called_once"] == 0


def test_lines_of_code_have_neither_docstrings_nor_comments() -> None:
    text = '''\
"""A module.

Of two paragraphs.
"""

__all__ = [
    "A",
]

import os  # a comment behind

# a comment of its own
A = """a text
of two lines"""
"""What A is."""


def f() -> str:
    """Docstring."""
    import sys

    return os.name + sys.platform
'''
    source = Source("rwsstore/a.py", text)
    assert (source.lines, source.code_lines, source.face_lines) == (22, 9, 5)


def test_lines_are_counted_by_folder(tree: Path) -> None:
    told = measure(tree)
    assert told["files"] == {
        "rwsstore": 6, "service": 2, "clients": 1, "benchmarks": 0, "scripts": 0, "tests": 0,
        "product": 9,
    }  # fmt: skip
    assert told["lines"]["clients"] == 2
    assert told["rooms"]["rwsstore.store"] == {"files": 2, "lines": 3, "code_lines": 3}


@pytest.fixture(scope="module")
def here() -> dict[str, Any]:
    """This checkout, by an interpreter that has the standard library only."""
    return _run("-S", SCRIPT, "--static")


def _run(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, *arguments, "--json"]
    told: dict[str, Any] = json.loads(
        subprocess.run(command, check=True, capture_output=True).stdout
    )
    return told


def test_it_measures_this_checkout(here: dict[str, Any]) -> None:
    lines = here["lines"]
    assert lines["product"] == lines["rwsstore"] + lines["service"] + lines["clients"]
    assert sum(here["code_lines"].values()) == 2 * here["code_lines"]["product"]
    sizes = here["product_functions"]
    assert sizes["longest"] == sizes["longest_five"][0]["lines"]
    assert "loaded" not in here


def test_the_page_fits_80_columns(here: dict[str, Any]) -> None:
    loaded = {
        "service": {"modules": 1234, "lines": 123_456, "torch": True, "seconds": 12.3},
        "rws store ls": {"reason": "ModuleNotFoundError: " + "no module " * 20},
    }
    walks = {"put_patchset": {"files": ["service/rwsstore_service/app.py"], "depth": 12}}
    text = page({**here, "loaded": loaded, "walks": walks}, walks=True)
    assert max(map(len, text.splitlines())) <= 80


def test_it_says_what_was_loaded_or_why_nothing_was(tree: Path) -> None:
    told = _run(SCRIPT, "--root", str(tree))
    service = told["loaded"].pop("service")
    assert (service["modules"], service["lines"], service["torch"]) == (6, 21, False)
    for command in told["loaded"].values():
        assert command["reason"] == "ModuleNotFoundError: No module named 'rwsstore.cli'"
    assert "cannot import name 'Settings'" in told["walks"]["reason"]
