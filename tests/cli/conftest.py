"""A small trained model and a store with patches, made once by the commands themselves."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rwsstore.cli.main import main
from rwsstore.data import ImageSet
from rwsstore.data.images import fit_all
from rwsstore.models import build, load_checkpoint, save_checkpoint
from rwsstore.progress import Reporter


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
train --dataset digits --size 16 --width 0.125 --epochs 4 --batch-size 16 --limit 320
--validation 40 --no-flip --padding 0 --learning-rate 0.02 --mode plain
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


@pytest.fixture(autouse=True, scope="session")
def digits_once() -> Iterator[None]:
    """Resize the digits once for each size and split; no command writes into them."""
    fitted: dict[tuple[int, int | None], ImageSet] = {}

    def once(images: ImageSet, size: int | None, progress: Reporter) -> ImageSet:
        if images.name != "digits":
            return fit_all(images, size, progress)
        split = (len(images), size)
        if split not in fitted:
            fitted[split] = fit_all(images, size, progress)
        return fitted[split]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rwsstore.data.sources.fit_all", once)
        yield


@pytest.fixture
def formats_unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained models get a card without compute formats; what is on it is tested by itself."""
    monkeypatch.setattr("rwsstore.runtime.measure_agreement", lambda *_, **__: ())


@pytest.fixture(scope="session")
def stranger(bench: "Bench", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model like that of the bench, of other weights."""
    path = tmp_path_factory.mktemp("stranger") / "other.safetensors"
    save_checkpoint(path, build(load_checkpoint(bench.model).spec, seed=1))
    return path


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    made = Bench(tmp_path_factory.mktemp("bench"))
    assert main(["--threads", "1", *TRAIN, "--out", str(made.model)]) == 0
    model, store = ["--model", str(made.model)], ["--store", str(made.store)]
    patches = ["--corruptions", "fog,contrast"]
    assert main(["--threads", "1", *EXTRACT, *model, *store, *patches]) == 0
    return made
