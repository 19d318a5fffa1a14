"""docs/use/clat.md says what the code does."""

import re
from pathlib import Path
from typing import Any

import pytest

import rwsstore.bundled
import rwsstore.data
from rwsstore.probes.criticality import CriticalityOptions
from rwsstore.training import ClatOptions, TradesOptions
from tests.probes.criticality.making import LAYERS, small
from tests.training.tiny import pictures

PAGE = (Path(__file__).parents[3] / "docs" / "use" / "clat.md").read_text()


def test_the_program_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    monkeypatch.setattr(rwsstore.bundled, "bundled_model", small)
    monkeypatch.setattr(rwsstore.data, "load_images", lambda *_, **__: pictures(100, seed=7))
    *lines, last = program.strip().splitlines()
    names: dict[str, Any] = {}
    exec("\n".join([*lines, f"found = {last}"]), names)
    top, indices = names["found"]
    assert len(top) == 3
    assert len(indices) == len(LAYERS)


def test_the_recipes_settings() -> None:
    lines = PAGE.split("| setting of `clat` |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    said: dict[str, str] = {}
    for line in lines:
        names, values, _ = (cell.strip() for cell in line.strip("|").split(" | ", 2))
        keys = [name.strip("` ") for name in names.split(",")]
        said |= dict(zip(keys, (text.strip() for text in values.split(";")), strict=True))
    defaults = ClatOptions().model_dump()
    written = {name: str(value).lower() for name, value in defaults.items()}
    assert said == written
    assert f"the weight `beta` ({TradesOptions().beta:g})" in PAGE


def test_the_probes_defaults() -> None:
    assert f"PGD-{CriticalityOptions().steps}, ε = {CriticalityOptions().epsilon:g}" in PAGE
