"""Python names that README and docs show can be imported, for one version after they moved."""

import importlib
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rwsstore
from tests.guards.frozen_files import read

_ROOT = Path(__file__).parents[2]
_OURS = r"rwsstore(?:_client)?"
_FROM = re.compile(rf"from\s+({_OURS}(?:\.\w+)*)\s+import\s+(?:\(([^)]*)\)|([^\n(]+))")
_DOTTED = re.compile(rf"(?<![\w./-]){_OURS}(?:\.[A-Za-z_]\w*)+(?![\w-])")


def surface() -> dict[str, Any]:
    """The version, and each name as "module:name", or "module:" for a module."""
    return {"version": rwsstore.__version__, "names": sorted(set(_names()))}


def frozen_anew() -> dict[str, Any]:
    """To freeze: what pages showed in this version stays until the next."""
    found = surface()
    try:
        before = read("names")
    except FileNotFoundError:
        return found
    if before["version"] == found["version"]:
        found["names"] = sorted({*before["names"], *found["names"]})
    return found


def _names() -> Iterator[str]:
    readmes = [_ROOT / "README.md", _ROOT / "clients" / "python" / "README.md"]
    for page in [*readmes, *sorted((_ROOT / "docs").rglob("*.md"))]:
        text = page.read_text(encoding="utf-8")
        for module, several, line in _FROM.findall(text):
            for name in re.split(r"[,\n]", re.sub(r"#.*", "", several or line)):
                if name.strip():
                    yield f"{module}:{name.split()[0]}"
        for dotted in _DOTTED.findall(text):
            yield from _of_dotted(dotted)


def _of_dotted(dotted: str) -> Iterator[str]:
    """What of a dotted text can be imported; some are no Python: of logs, of traces."""
    module, rest = dotted, ""
    while "." in module:
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError:
            module, _, last = module.rpartition(".")
            rest = f"{last}.{rest}" if rest else last
            continue
        name = rest.partition(".")[0]
        if not name or hasattr(found, name):
            yield f"{module}:{name}"
        return
    name = rest.partition(".")[0]
    if hasattr(importlib.import_module(module), name):
        yield f"{module}:{name}"


@pytest.mark.parametrize("shown", read("names")["names"])
def test_what_pages_showed_can_be_imported(shown: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*rwsstore", DeprecationWarning)
        find(shown)


def test_what_pages_show_now_can_be_imported() -> None:
    for shown in surface()["names"]:
        find(shown)


def find(shown: str) -> None:
    """Import a name, written `module:name`; one that moved away warns."""
    module, _, name = shown.partition(":")
    found = importlib.import_module(module)
    if name and not hasattr(found, name):
        importlib.import_module(f"{module}.{name}")
