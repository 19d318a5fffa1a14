from pathlib import Path

import pytest

from rwsstore.data import DATASETS
from rwsstore.data.sources import parse_dataset


def test_the_registry_holds_the_documented_sources() -> None:
    assert list(DATASETS) == ["digits", "cifar10", "cifar100", "imagefolder"]
    assert all(row.name == name and row.summary for name, row in DATASETS.items())


def test_names_are_taken_apart() -> None:
    assert parse_dataset("digits") == (DATASETS["digits"], None)
    assert parse_dataset("imagefolder:a/b") == (DATASETS["imagefolder"], Path("a/b"))


def test_a_path_may_hold_colons() -> None:
    assert parse_dataset("cifar10:/x:y")[1] == Path("/x:y")


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert parse_dataset("cifar100:~/sets")[1] == Path("/home/somebody/sets")


def test_every_source_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "use" / "data.md").read_text()
    for name, row in DATASETS.items():
        assert f"`{name}:PATH`" in text if row.needs_path else f"`{name}`" in text
