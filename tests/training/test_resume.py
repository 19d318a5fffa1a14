"""An interrupted run goes on where it was, to the same bits."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError, FormatError
from rwsstore.progress import SILENT, Reporter, Task
from rwsstore.training import (
    CleanRecipe,
    CorruptionResistantRecipe,
    HessianAwareRecipe,
    Recipe,
    RobustRecipe,
    WeightRecipe,
    fit,
)
from rwsstore.training.config import TrainingResult
from tests.runtime.making import MODELS
from tests.training.test_loop import Dropping
from tests.training.tiny import classifier, config, pictures, same, two_convs

TRAIN, VALIDATION = pictures(36, seed=0), pictures(12, seed=1)
EPOCHS, STEPS = 4, 3


class Interrupting:
    """A reporter that stops the run at its n-th step, as Ctrl-C does."""

    def __init__(self, after: int) -> None:
        self.left = after

    @contextmanager
    def task(self, description: str, *, total: int) -> Iterator[Task]:
        yield self

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        self.left -= steps
        if self.left <= 0:
            raise KeyboardInterrupt


def run(
    model: nn.Module,
    state_file: Path | None,
    *,
    recipe: Recipe | None = None,
    train: ImageSet = TRAIN,
    validation: ImageSet = VALIDATION,
    seed: int = 0,
    stop_after: int | None = None,
    progress: Reporter = SILENT,
) -> TrainingResult:
    settings = config(EPOCHS, learning_rate=0.2, flip=True, seed=seed)
    return fit(
        model, recipe or RobustRecipe("contrast", layers=None), train, validation, settings,
        state_file=state_file, stop_after=stop_after, progress=progress,
    )  # fmt: skip


def interrupt(model: nn.Module, path: Path, after: int, recipe: Recipe | None = None) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(model, path, recipe=recipe, progress=Interrupting(after))


@pytest.mark.parametrize("after", [1, STEPS, 2 * STEPS + 1])
def test_a_resumed_run_equals_one_that_was_not_interrupted(tmp_path: Path, after: int) -> None:
    model, path = two_convs(batch_norm=True), tmp_path / "run.state"
    whole = run(model, None)
    interrupt(model, path, after)
    resumed = run(model, path)
    assert resumed.history == whole.history
    assert resumed.best == whole.best
    assert same(resumed.model, whole.model)


@pytest.mark.parametrize(
    ("kind", "recipe"),
    [
        ("classifier", RobustRecipe("fog", layers=1)),
        ("dropout", CleanRecipe()),
        ("tied", CleanRecipe()),
    ],
    ids=["classifier", "dropout", "tied"],
)
def test_a_run_survives_many_interruptions(tmp_path: Path, kind: str, recipe: Recipe) -> None:
    model = {
        "classifier": lambda: classifier(size=8),
        "dropout": Dropping,
        "tied": MODELS["tied"],
    }[kind]()
    path = tmp_path / "run.state"
    whole = run(model, None, recipe=recipe)
    for _ in range(EPOCHS - 1):
        interrupt(model, path, STEPS + 2, recipe)
    resumed = run(model, path, recipe=recipe)
    assert resumed.history == whole.history
    assert same(resumed.model, whole.model)


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    path = tmp_path / "run.state"
    whole = run(two_convs(), path)
    data = path.read_bytes()
    again = run(two_convs(), path)
    assert same(again.model, whole.model)
    assert path.read_bytes() == data


def test_the_progress_goes_on_from_the_epochs_done(tmp_path: Path) -> None:
    class Counting:
        done, total = 0, 0

        @contextmanager
        def task(self, description: str, *, total: int) -> Iterator[Task]:
            self.total = total
            yield self

        def advance(self, steps: int = 1, *, note: str = "") -> None:
            self.done += steps

    path = tmp_path / "run.state"
    interrupt(two_convs(), path, 2 * STEPS + 1)
    reporter = Counting()
    run(two_convs(), path, progress=reporter)
    assert reporter.done == reporter.total == EPOCHS * STEPS


def other_images(images: ImageSet) -> ImageSet:
    changed = images.images.clone()
    changed[0, 0, 0, 0] ^= 1
    return replace(images, images=changed)


@pytest.mark.parametrize("what", ["model", "recipe", "config", "train", "validation"])
def test_the_state_of_another_run_is_refused_and_left_alone(tmp_path: Path, what: str) -> None:
    path = tmp_path / "run.state"
    interrupt(two_convs(), path, STEPS + 1)
    data = path.read_bytes()
    with pytest.raises(ConfigError, match="belongs to a run with other parameters or data"):
        run(
            two_convs(seed=1 if what == "model" else 0),
            path,
            recipe=RobustRecipe("contrast", 4, layers=None) if what == "recipe" else None,
            seed=1 if what == "config" else 0,
            train=other_images(TRAIN) if what == "train" else TRAIN,
            validation=other_images(VALIDATION) if what == "validation" else VALIDATION,
        )
    assert path.read_bytes() == data


def test_a_state_beyond_the_epoch_asked_for_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.state"
    run(two_convs(), path, stop_after=3)
    with pytest.raises(ConfigError, match="3 epochs on, and 2 are asked for"):
        run(two_convs(), path, stop_after=2)
    assert same(
        run(two_convs(), path, stop_after=3).model, run(two_convs(), None, stop_after=3).model
    )


@pytest.mark.parametrize("length", [0, 1, 8, 100, -1])
def test_a_cut_state_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "run.state"
    interrupt(two_convs(), path, STEPS + 1)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(FormatError):
        run(two_convs(), path)


def test_a_flipped_bit_in_a_state_is_found(tmp_path: Path) -> None:
    path = tmp_path / "run.state"
    interrupt(two_convs(), path, STEPS + 1)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"damaged.*delete it"):
        run(two_convs(), path)


def test_another_safetensors_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.state"
    save_file({"weights/fc.bias": torch.zeros(3)}, path)
    with pytest.raises(FormatError, match="not the state of a training run"):
        run(two_convs(), path)


@pytest.mark.parametrize("after", [STEPS, 2 * STEPS + 1])
@pytest.mark.parametrize(
    "recipe", [CorruptionResistantRecipe, HessianAwareRecipe], ids=lambda r: r.name
)
def test_what_a_recipe_keeps_survives(
    tmp_path: Path, recipe: type[WeightRecipe], after: int
) -> None:
    model, path = two_convs(), tmp_path / "run.state"
    whole = run(model, None, recipe=recipe())
    interrupt(model, path, after, recipe())
    resumed = run(model, path, recipe=recipe())
    assert resumed.history == whole.history
    assert same(resumed.model, whole.model)


def test_rmsprop_goes_on_with_its_averages(tmp_path: Path) -> None:
    model, path = two_convs(), tmp_path / "run.state"
    settings = config(EPOCHS, learning_rate=0.001, optimizer="rmsprop")
    whole = fit(model, CleanRecipe(), TRAIN, VALIDATION, settings)
    with pytest.raises(KeyboardInterrupt):
        fit(
            model, CleanRecipe(), TRAIN, VALIDATION, settings,
            state_file=path, progress=Interrupting(2 * STEPS + 1),
        )  # fmt: skip
    resumed = fit(model, CleanRecipe(), TRAIN, VALIDATION, settings, state_file=path)
    assert same(resumed.model, whole.model)
    assert not same(whole.model, model)
