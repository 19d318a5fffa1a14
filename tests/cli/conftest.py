"""A small trained model and a store with patches, made once by the commands themselves."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rwsstore.cli.main import main


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Rws = Callable[..., Outcome]

_TRAIN = """
train --dataset digits --width 0.125 --epochs 4 --batch-size 16 --limit 320 --validation 40
--no-flip --padding 2 --mode plain
"""
_EXTRACT = """
extract --dataset digits --epochs 1 --batch-size 32 --limit 160 --validation 40 --no-flip
--mode plain
"""
TRAIN, EXTRACT = _TRAIN.split(), _EXTRACT.split()


@pytest.fixture
def rws(capfd: pytest.CaptureFixture[str]) -> Rws:
    def call(*arguments: object) -> Outcome:
        capfd.readouterr()
        code = main(["--threads", "1", *map(str, arguments)])
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture
def screens(monkeypatch: pytest.MonkeyPatch) -> list[io.StringIO]:
    """What each table wrote on a terminal of 80 columns."""
    found: list[io.StringIO] = []

    def terminal(**_: object) -> Console:
        found.append(io.StringIO())
        return Console(file=found[-1], width=80, force_terminal=True, color_system=None)

    monkeypatch.setattr("rwsstore.cli.output.Console", terminal)
    return found


@dataclass(frozen=True)
class Bench:
    """Files that the tests of the commands share and never change."""

    folder: Path

    @property
    def model(self) -> Path:
        return self.folder / "clean.safetensors"

    @property
    def store(self) -> Path:
        return self.folder / "store"


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    made = Bench(tmp_path_factory.mktemp("bench"))
    assert main(["--threads", "1", *TRAIN, "--out", str(made.model)]) == 0
    model, store = ["--model", str(made.model)], ["--store", str(made.store)]
    patches = ["--corruptions", "fog,contrast"]
    assert main(["--threads", "1", *EXTRACT, *model, *store, *patches]) == 0
    return made
