"""What cannot be measured is refused, and the model left alone."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rwsstore.errors import ConfigError, DataError, TensorError
from rwsstore.probes.criticality import (
    CriticalityOptions,
    CriticalityReport,
    measure_criticality,
    stability_of,
)
from tests.attacks.making import snapshot
from tests.models.networks import Untraceable
from tests.probes.criticality.making import SHORT, data, made_up, noisy, small


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epsilon": 0.0}, "epsilon"),
        ({"epsilon": -0.1}, "epsilon"),
        ({"epsilon": float("nan")}, "epsilon"),
        ({"epsilon": 1.5}, "epsilon"),
        ({"steps": 0}, "steps is 0"),
        ({"step_size": 0.0}, "step_size"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": True}, "batch_size is True"),
    ],
)
def test_options_out_of_range(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(CriticalityOptions(), **fields)


def test_training_mode() -> None:
    model = small()
    model.block.train()
    before = snapshot(model)
    with pytest.raises(ConfigError, match=r"'block' is in training mode: call model.eval\(\)"):
        measure_criticality(model, *data(), SHORT)
    assert snapshot(model) == before


class Flat(nn.Module):
    """No convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


class Branching(Untraceable):
    """Gives logits, too."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).mean((2, 3))


def test_no_convolution() -> None:
    with pytest.raises(ConfigError, match="Flat calls no Conv2d"):
        measure_criticality(Flat().eval(), *data(), SHORT)


def test_a_network_that_cannot_be_traced() -> None:
    with pytest.raises(ConfigError, match=r"Branching cannot be traced .* in `leaves`"):
        measure_criticality(Branching().eval(), *data(), SHORT)


def test_a_part_that_cannot_be_traced() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 3), Branching()).eval()
    found = measure_criticality(model, *data(), SHORT, leaves=[Branching])
    assert found.layers == ("0",)


def test_a_model_that_cannot_be_run() -> None:
    with pytest.raises(ConfigError, match="cannot be run"):
        measure_criticality(nn.Linear(4, 2).eval(), *data(), SHORT)


def test_labels() -> None:
    images, labels = data()
    with pytest.raises(DataError, match="no labels"):
        measure_criticality(small(), images, None, SHORT)
    labels[-1] = 3  # the last batch's: seen before the first one is attacked
    with pytest.raises(DataError, match=r"0\.\.2"):
        measure_criticality(small(), images, labels, SHORT)


@pytest.mark.parametrize("images", [data()[0] * 255, data()[0][:0], data()[0].long()])
def test_images_out_of_range(images: Tensor) -> None:
    with pytest.raises(TensorError):
        measure_criticality(small(), images, data()[1], SHORT)


class Dead(nn.Module):
    """Its first features are infinite, its logits are not."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        nn.init.constant_(self.conv.weight, 3e38)
        self.head = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.conv(x).clamp(-1, 1).mean((2, 3)))
        return logits


def test_features_without_end() -> None:
    with pytest.raises(TensorError, match="NaN or infinite: look at the model's weights"):
        measure_criticality(Dead().eval(), *data(), SHORT)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sizes": ()}, "expected numbers above 0"),
        ({"sizes": (10, 10)}, "each once"),
        ({"sizes": (0, 10)}, "above 0"),
        ({"sizes": (10, 60)}, "all batches of 60 of 60 images would be the same"),
        ({"sizes": (10, 61)}, "of 61 of 60 images"),
        ({"draws": 1}, "draws is 1"),
        ({"k": 0}, "the 0 most critical layers"),
        ({"k": 7}, "the 7 most critical layers were asked for; there are 6"),
    ],
)
def test_draws_out_of_range(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        stability_of(*noisy(), **{"sizes": (10,), **fields})


def test_a_report_of_more_layers_than_there_are() -> None:
    model = nn.ModuleDict({"conv1": nn.Conv2d(3, 3, 1)})
    with pytest.raises(ConfigError, match="there are 1"):
        CriticalityReport.of(nn.ModuleDict({"net": model}), made_up([1.0]), k=2)


def test_weights_are_not_a_reason_for_torchs_errors() -> None:
    model = small()
    with torch.no_grad():
        model.twice.weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(TensorError):
        measure_criticality(model, *data(), SHORT)
