"""What cannot be filtered, measured or scored is refused."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rwsstore.errors import ConfigError, DataError, TensorError, UnknownNameError
from rwsstore.probes.filtering import FilteringOptions, ScoringOptions, measure_curves
from rwsstore.probes.filtering.curves import filtered_layers
from tests.probes.filtering.making import SHORT, data, trained


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epsilon": 0.0}, "epsilon"),
        ({"epsilon": float("nan")}, "epsilon"),
        ({"epsilon": 1.5}, "epsilon"),
        ({"filters": ()}, "filter"),
        ({"filters": ("h1", "h1")}, "name one twice"),
        ({"thresholds": 24}, "thresholds is 24; expected an odd number"),
        ({"thresholds": 1}, "thresholds is 1"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_options_out_of_range(fields: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=message):
        replace(FilteringOptions(), **fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tolerance": -0.1}, "tolerance is -0.1"),
        ({"tolerance": float("nan")}, "tolerance is nan"),
        ({"tolerance": float("inf")}, "tolerance is inf"),
        ({"decides": "s4"}, "'s4' is to decide"),
    ],
)
def test_scoring_out_of_range(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(ScoringOptions(), **fields)


def test_training_mode() -> None:
    model = trained()
    model.block.train()
    with pytest.raises(ConfigError, match="training mode"):
        measure_curves(model, *data(), SHORT)
    assert model.block.training


def test_a_model_that_cannot_be_run() -> None:
    with pytest.raises(ConfigError, match="cannot be run"):
        measure_curves(nn.Linear(4, 2).eval(), *data(), SHORT)


def test_no_labels() -> None:
    with pytest.raises(DataError, match="no labels"):
        measure_curves(trained(), data()[0], None, SHORT)
    with pytest.raises(DataError, match=r"0\.\.2"):
        measure_curves(trained(), data()[0], data()[1] + 1, SHORT)


@pytest.mark.parametrize("images", [data()[0] * 255, data()[0][:0], data()[0].long()])
def test_images_out_of_range(images: Tensor) -> None:
    with pytest.raises(TensorError):
        measure_curves(trained(), images, data()[1], SHORT)


@pytest.mark.parametrize("layers", [["conv9"], [], ["stem", "stem"], ["block.first"]])
def test_layers_that_are_not_there(layers: list[str]) -> None:
    with pytest.raises(ConfigError, match="expected some of stem, block, head, each once"):
        filtered_layers(trained(), data()[0], layers)


class Bare(nn.Module):
    """No layer at all."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) * self.scale


def test_nothing_to_filter() -> None:
    with pytest.raises(ConfigError, match="nothing to filter: its forward pass"):
        measure_curves(Bare().eval(), *data(), SHORT)


def test_weights_without_a_range() -> None:
    model = trained()
    with torch.no_grad():
        model.unused.weight[0, 0] = torch.nan  # is never called, so it is no matter
    measure_curves(model, *data(4), SHORT, layers=["head"])
    with torch.no_grad():
        model.head.weight[0, 0] = -torch.inf
        model.head.bias.nan_to_num_()
    with pytest.raises(TensorError):
        measure_curves(model, *data(4), SHORT)
