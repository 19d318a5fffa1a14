"""docs/use/filtering.md says what the code does."""

import re
from pathlib import Path
from typing import Any

import pytest

import rwsstore.bundled
import rwsstore.data
from rwsstore.measure import Interval
from rwsstore.probes.filtering import FilteringOptions, ScoringOptions
from rwsstore.probes.filtering.curves import FILTERS
from rwsstore.training import SelectiveOptions
from tests.probes.filtering.making import trained
from tests.training.tiny import pictures

PAGE = (Path(__file__).parents[3] / "docs" / "use" / "filtering.md").read_text()


def rows(heading: str) -> list[list[str]]:
    lines = PAGE.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_the_program_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    monkeypatch.setattr(rwsstore.bundled, "bundled_model", trained)
    shown = pictures(200, size=4, seed=7, strength=20)
    monkeypatch.setattr(rwsstore.data, "load_images", lambda *_, **__: shown)
    *lines, last = program.strip().splitlines()
    names: dict[str, Any] = {}
    exec("\n".join([*lines, f"found = {last}"]), names)
    kind, interval = names["found"]
    assert kind in ("fragile", "robust", "antifragile")
    assert isinstance(interval, Interval)


def test_the_filters() -> None:
    listed = [tuple(row[0].split(", ")) for row in rows("filter")]
    titles = {row.name: row.title for row in FILTERS.values()}
    assert [name for name, _ in listed] == list(titles)
    assert all(said.endswith(titles[name]) for name, said in listed)


def test_the_recipes_options() -> None:
    defaults = SelectiveOptions()
    said = {
        name.strip("` "): default
        for row in rows("option")
        for name, default in zip(row[0].split(","), row[1].split(";"), strict=False)
    }
    assert set(said) == set(SelectiveOptions.model_fields)
    for name in ("tolerance", "every", "images", "thresholds", "attack_epsilon"):
        assert float(said[name]) == getattr(defaults, name)
    assert said["train"] == ", ".join(defaults.train)
    assert said["filters"] == ", ".join(defaults.filters)
    assert said["score"].strip() == defaults.score
    assert defaults.above_chance is True
    assert defaults.layers is None


def test_the_other_numbers() -> None:
    options, scoring = FilteringOptions(), ScoringOptions()
    assert f"over min(w)…max(w), {options.thresholds} of them" in PAGE
    assert f"below −{scoring.tolerance:g} fragile, above {scoring.tolerance:g}" in PAGE
    assert f"FGSM's ε is {options.epsilon:g}" in PAGE
