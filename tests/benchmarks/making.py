"""A study so small that it runs in a second or two."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import benchmarks.paper.study as study_module
from benchmarks.paper.settings import Settings
from benchmarks.paper.study import Study
from rwsstore.files import Results
from rwsstore.measure.accuracy import accuracy
from rwsstore.models import Classifier, fold_batchnorm
from rwsstore.store import Store
from rwsstore.training import CleanRecipe, fit, hold_out
from tests.runtime.making import bare_patch
from tests.training.tiny import classifier, config, pictures

TRAIN = pictures(60, size=8, seed=0, strength=90)
TEST = pictures(48, size=8, seed=1, strength=35)
NAMES = ("gaussian_noise", "contrast", "fog")
FIVE = NAMES[:2]
"""Those that the studies train for."""

_SHORT = {"epochs": 1, "batch_size": 20, "learning_rate": 0.02, "clip_norm": 1.0, "flip": False}


def settings(**fields: Any) -> Settings:
    values: dict[str, Any] = {
        "corruptions": FIVE,
        "validation": 12,
        "mode": "plain",
        "robust": _SHORT,
        "augmented": _SHORT,
        "tables": {"corruptions": NAMES, "bits": (16, 8, 2)},
        "layers": {"training": _SHORT, "constrained": (1, 5)},
        "alpha": {"alphas": (0.0, 0.5, 1.0), "severities": (3, 5)},
    }
    return Settings.model_validate({**values, **fields})


@cache
def models() -> tuple[Classifier, Classifier]:
    """A classifier that has learnt something: folded, and before folding."""
    train, validation = hold_out(TRAIN, validation=12)
    training = config(6, batch_size=8)
    model = fit(classifier(size=8), CleanRecipe(), train, validation, training).model
    assert isinstance(model, Classifier)
    return fold_batchnorm(model), model


def stores(folder: Path) -> tuple[Store, Store]:
    """Patches of every name at 8 and at 32 bits."""
    narrow, wide = Store(folder / "store"), Store(folder / "store32")
    for seed, name in enumerate(NAMES):
        patch = bare_patch(
            models()[0], name, seed=seed, bits=32, layers=5, scale=0.03,
            corruption=name, severity=5,
        )  # fmt: skip
        wide.publish(patch, name=name)
        narrow.publish(patch.at_bits(8), name=name)
    return narrow, wide


def a_study(name: str, folder: Path, **fields: Any) -> Study:
    """A study whose bundle, work and docs lie in `folder`; opened again it is the same."""
    clean, unfolded = models()
    narrow, wide = stores(folder)
    given: dict[str, Any] = {
        "clean": clean, "unfolded": unfolded, "store": narrow, "wide": wide, "train": TRAIN,
        "test": TEST, "settings": settings(), "work": folder / "work", "docs": folder / "docs",
    }  # fmt: skip
    return Study.of(name, **{**given, **fields})


def forbid_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, whatever measures or trains fails."""

    def never(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("this was done before")

    monkeypatch.setattr(study_module, "accuracy", never)
    monkeypatch.setattr(study_module, "fit", never)
    monkeypatch.setattr(study_module, "corrupt", never)


class Interrupted(Exception):  # noqa: N818  (no error: somebody stopped the program)
    """Stopped from outside."""


@contextmanager
def stopped_after(count: int) -> Iterator[list[int]]:
    """Stop the measuring after so many numbers; yields what counts them."""
    done = [0]

    def measured(*arguments: Any, **options: Any) -> float:
        if done[0] == count:
            raise Interrupted
        done[0] += 1
        return accuracy(*arguments, **options)

    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(study_module, "accuracy", measured)
        yield done


@contextmanager
def kept_at_most(count: int) -> Iterator[list[int]]:
    """Stop where more than so many values are to be kept; yields how many were."""
    value, done = Results.value, [0]

    def counting(self: Results, key: str, measure: Callable[[], Any]) -> Any:
        if key not in self:
            if done[0] == count:
                raise Interrupted
            done[0] += 1
        return value(self, key, measure)

    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(Results, "value", counting)
        yield done


def files_of(study: Study) -> dict[str, bytes]:
    """The pages and pictures."""
    return {path.name: path.read_bytes() for path in sorted(study.docs.iterdir())}


def check_resumable(
    run: Callable[[Study], None], name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Study:
    """A study stopped half-way goes on, and a third run does nothing and writes the same."""
    stopped = a_study(name, folder / "stopped")
    with stopped_after(3), pytest.raises(Interrupted):
        run(stopped)
    assert not stopped.docs.exists()
    whole = a_study(name, folder / "whole")
    with stopped_after(10_000) as total:
        run(whole)
    with stopped_after(10_000) as rest:
        run(a_study(name, folder / "stopped"))
    assert rest[0] == total[0] - 3 == len(whole.results) - 3
    assert files_of(stopped) == files_of(whole)
    before = files_of(whole)
    forbid_work(monkeypatch)
    run(a_study(name, folder / "whole"))
    assert files_of(whole) == before
    return whole


def check_done_once(
    run: Callable[[Study], None], name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Study:
    """A second run does nothing and writes the same."""
    study = a_study(name, folder)
    run(study)
    before = files_of(study)
    forbid_work(monkeypatch)
    run(a_study(name, folder))
    assert files_of(study) == before
    monkeypatch.undo()
    return study


def table(page: str, title: str) -> list[list[str]]:
    """The rows of the table under a title, its header first."""
    lines = page.split(f"**{title}**\n\n", 1)[1].split("\n\n", 1)[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [cells[0], *cells[2:]]
