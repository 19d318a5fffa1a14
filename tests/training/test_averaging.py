"""Weight averaging: the mean of the cycles' ends, BatchNorm measured anew, and going on."""

from pathlib import Path

import pytest
import torch
from torch import nn

from rwsstore.errors import ConfigError
from rwsstore.models import Classifier
from rwsstore.training import (
    AveragingConfig,
    CleanRecipe,
    TrainingConfig,
    average_cycles,
    derive_seed,
    fit,
)
from tests.training.tiny import classifier, pictures, same

CONFIG = TrainingConfig(epochs=3, batch_size=8, learning_rate=0.05, padding=1, flip=False)
AVERAGING = AveragingConfig(cycles=3, learning_rate=0.03)
TRAIN, VALIDATION = pictures(48, size=8), pictures(21, size=8, seed=1)


def _network() -> Classifier:
    return classifier(size=8)


def _ends(model: nn.Module) -> list[dict[str, torch.Tensor]]:
    """Where the cycles end, by three plain runs of one epoch."""
    ends = []
    for cycle in (1, 2, 3):
        config = CONFIG.model_copy(
            update={"epochs": 1, "learning_rate": 0.03, "seed": derive_seed(0, "cycle", cycle)}
        )
        model = fit(model, CleanRecipe(), TRAIN, VALIDATION, config).model
        ends.append(model.state_dict())
    return ends


def test_the_weights_are_the_mean_of_where_the_cycles_end() -> None:
    start = _network()
    found = average_cycles(start, CleanRecipe(), TRAIN, VALIDATION, CONFIG, AVERAGING).model
    ends = _ends(start)
    for name, parameter in found.named_parameters():
        expected = torch.stack([end[name].double() for end in ends]).mean(dim=0)
        torch.testing.assert_close(parameter.double(), expected, rtol=1e-6, atol=1e-8)
    assert same(start, _network())


def test_running_statistics_are_those_of_the_averaged_weights() -> None:
    config = CONFIG.model_copy(update={"padding": 0})
    found = average_cycles(_network(), CleanRecipe(), TRAIN, VALIDATION, config, AVERAGING).model
    assert isinstance(found, Classifier)
    convolution = next(module for module in found.modules() if isinstance(module, nn.Conv2d))
    norm = next(module for module in found.modules() if isinstance(module, nn.BatchNorm2d))
    outputs = convolution(found.normalize(TRAIN.images)).detach()
    torch.testing.assert_close(norm.running_mean, outputs.mean(dim=(0, 2, 3)), rtol=1e-3, atol=1e-4)
    assert norm.momentum == 0.1
    assert not found.training


def test_running_statistics_are_measured_on_cropped_images() -> None:
    plain, cropped = (
        average_cycles(
            _network(), CleanRecipe(), TRAIN, VALIDATION,
            CONFIG.model_copy(update={"padding": padding, "learning_rate": 1e-9}),
            AVERAGING.model_copy(update={"learning_rate": 1e-9}),
        ).model
        for padding in (0, 4)
    )  # fmt: skip
    means = [
        next(norm for norm in model.modules() if isinstance(norm, nn.BatchNorm2d)).running_mean
        for model in (plain, cropped)
    ]
    assert means[0] is not None
    assert means[1] is not None
    # Black borders of 4 pixels leave less than all of a picture of 8.
    assert not torch.allclose(means[0], means[1], rtol=0.05)


def test_an_interrupted_run_goes_on_to_the_same_result(tmp_path: Path) -> None:
    plain = average_cycles(_network(), CleanRecipe(), TRAIN, VALIDATION, CONFIG, AVERAGING)
    state = tmp_path / "run.state"
    two = AVERAGING.model_copy(update={"cycles": 2})
    average_cycles(
        _network(), CleanRecipe(), TRAIN, VALIDATION, CONFIG, two, state_file=state
    )  # interrupted after two cycles
    again = average_cycles(
        _network(), CleanRecipe(), TRAIN, VALIDATION, CONFIG, AVERAGING, state_file=state
    )
    assert (again.best, again.history) == (plain.best, plain.history)
    assert same(again.model, plain.model)
    with pytest.raises(ConfigError, match="belongs to a run with other parameters"):
        average_cycles(
            _network(), CleanRecipe(), TRAIN.take(torch.arange(32)), VALIDATION, CONFIG, AVERAGING,
            state_file=state,
        )  # fmt: skip


def test_a_folded_network_is_averaged_too() -> None:
    result = average_cycles(
        classifier(size=8, folded=True), CleanRecipe(), TRAIN, VALIDATION,
        CONFIG.model_copy(update={"clip_norm": 1.0}), AVERAGING,
    )  # fmt: skip
    assert [record.epoch for record in result.history] == [1, 2, 3]
    assert result.best.epoch == 4
