"""Whatever cannot be corrupted or measured is refused, and the model is left as it is."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rwsstore.errors import ConfigError, DataError, RwsError, TensorError, UnknownNameError
from rwsstore.probes.parameter_corruption import (
    Constraint,
    ProbeOptions,
    Sample,
    by_type,
    corrupted_copy,
    corruption_along,
    gradient_corruption,
    loss_gradient,
    measure_indicator,
    probe_corruption,
)
from rwsstore.probes.parameter_corruption.corruption import (
    all_parameters,
    by_module,
    corrupting,
    named_group,
    random_corruption,
)
from tests.probes.parameter_corruption.making import IMAGES, sample, tiny, witness

OPTIONS = ProbeOptions((0.1,), draws=1)


@pytest.mark.parametrize(
    "fields",
    [
        {"epsilon": 0.0}, {"epsilon": -1.0}, {"epsilon": math.inf}, {"epsilon": math.nan},
        {"p": 0.99}, {"p": -math.inf}, {"p": math.nan}, {"n": 0}, {"n": -3},
    ],
)  # fmt: skip
def test_constraints_out_of_range(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Constraint(**{"epsilon": 0.1, **fields})


@pytest.mark.parametrize(
    "direction", [torch.ones(2, 2), torch.tensor([1.0, math.nan]), torch.tensor([math.inf])]
)
def test_directions_that_are_none(direction: Tensor) -> None:
    with pytest.raises(TensorError, match="expected finite numbers"):
        corruption_along(direction, Constraint(0.1))


def test_more_parameters_than_there_are() -> None:
    with pytest.raises(ConfigError, match="n is 4; only 3"):
        corruption_along(torch.ones(3), Constraint(0.1, n=4))
    model = tiny()
    for call in (
        lambda: measure_indicator(model, IMAGES.images, IMAGES.labels, Constraint(0.1, n=10**6)),
        lambda: probe_corruption(
            model, IMAGES.images, IMAGES.labels, ProbeOptions((0.1,), ns=(10**6,))
        ),
    ):
        with pytest.raises(ConfigError, match="n is 1000000"):
            call()


def test_empty_selections() -> None:
    model = tiny()
    with pytest.raises(ConfigError, match="parameters to corrupt are none"):
        named_group(model, [])
    with pytest.raises(ConfigError, match="each once"):
        named_group(model, ["fc.bias", "fc.bias"])
    with pytest.raises(UnknownNameError, match=r"Did you mean 'fc\.bias'"):
        named_group(model, ["fc.bais"])
    with pytest.raises(UnknownNameError):
        named_group(model, ["bn.running_mean"])
    for choose in (all_parameters, by_type, by_module):
        with pytest.raises(ConfigError):
            choose(nn.Sequential(nn.ReLU()))
    for corrupt in (gradient_corruption, lambda g, c: random_corruption(g, c, seed=0)):
        with pytest.raises(ConfigError, match="no parameters"):
            corrupt({}, Constraint(0.1))


@pytest.mark.parametrize(
    "corruption",
    [
        {"fc.bias": torch.zeros(4)},
        {"fc.bias": torch.tensor([0.0, math.nan, 0.0])},
        {"fc.bias": torch.zeros(3), "nobody": torch.zeros(3)},
    ],
)
def test_corruptions_of_another_model(corruption: dict[str, Tensor]) -> None:
    model = tiny()
    before = witness(model)
    with pytest.raises(RwsError):
        corrupted_copy(model, corruption)
    with pytest.raises(RwsError), corrupting(model, corruption):
        pass
    assert witness(model) == before


class Fixed(nn.Module):
    """Gives what it was told to give."""

    def __init__(self, give: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.give = give

    def forward(self, x: Tensor) -> Any:
        return self.give(x.mean((2, 3)), self.weight)


def test_gradients_that_are_not_finite() -> None:
    # The square root's slope at 0 is infinite, its value is not.
    model = Fixed(lambda x, w: x * (w - 1).abs().sqrt()).eval()
    before = witness(model)
    with pytest.raises(TensorError, match="the gradient of weight is NaN or infinite in 3 of 3"):
        loss_gradient(model, sample(model))
    with pytest.raises(TensorError, match="gradient of weight"):
        probe_corruption(model, IMAGES.images, IMAGES.labels, OPTIONS)
    assert witness(model) == before


def test_a_loss_that_depends_on_no_parameter() -> None:
    model = Fixed(lambda x, w: x).eval()
    with pytest.raises(ConfigError, match="does not depend on weight"):
        loss_gradient(model, sample(model))


@pytest.mark.parametrize(
    ("give", "error"),
    [
        (lambda x, w: x * torch.nan, TensorError),
        (lambda x, w: x[0], ConfigError),
        (lambda x, w: x @ w[:2], ConfigError),
        (lambda x, w: (x, w), ConfigError),
    ],
)
def test_models_that_give_no_logits(give: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        probe_corruption(Fixed(give).eval(), IMAGES.images, IMAGES.labels, OPTIONS)


def test_models_that_cannot_be_evaluated() -> None:
    training, batchwise = tiny().train(), tiny()
    batchwise.bn = nn.BatchNorm2d(6, track_running_stats=False)
    half = tiny()
    half.gn.train()
    for model in (training, batchwise.eval(), half):
        before = witness(model)
        with pytest.raises(ConfigError, match=r"training mode|running statistics"):
            measure_indicator(model, IMAGES.images, IMAGES.labels, Constraint(0.1))
        assert witness(model) == before


@pytest.mark.parametrize(
    ("images", "labels", "error"),
    [
        (IMAGES.images.float(), IMAGES.labels, TensorError),
        (IMAGES.images.float() / -255, IMAGES.labels, TensorError),
        (torch.full((45, 3, 6, 6), math.nan), IMAGES.labels, TensorError),
        (IMAGES.images.int(), IMAGES.labels, TensorError),
        (IMAGES.images[0], IMAGES.labels, TensorError),
        (IMAGES.images[:0], IMAGES.labels[:0], TensorError),
        (IMAGES.images, None, DataError),
        (IMAGES.images, IMAGES.labels[1:], DataError),
        (IMAGES.images, IMAGES.labels + 1, DataError),
        (IMAGES.images, IMAGES.labels.float(), DataError),
    ],
)
def test_images_and_labels(images: Tensor, labels: Any, error: type[Exception]) -> None:
    model = tiny()
    before = witness(model)
    calls: tuple[Callable[[], object], ...] = (
        lambda: Sample.of(model, images, labels),
        lambda: measure_indicator(model, images, labels, Constraint(0.1)),
        lambda: probe_corruption(model, images, labels, OPTIONS),
        lambda: probe_corruption(
            model, IMAGES.images, IMAGES.labels, OPTIONS, gradient_of=(images, labels)
        ),
    )
    for call in calls:
        with pytest.raises(error):
            call()
    assert witness(model) == before


@pytest.mark.parametrize(
    "fields",
    [
        {"epsilons": ()}, {"epsilons": (0.2, 0.1)}, {"epsilons": (0.1, 0.1)},
        {"epsilons": (0.0, 0.1)}, {"ns": ()}, {"ns": (5, 5)}, {"ns": (0,)}, {"p": 0.5},
        {"by": "colour"}, {"draws": -1}, {"seed": -1}, {"batch_size": 0},
    ],
)  # fmt: skip
def test_options(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ProbeOptions(**{"epsilons": (0.1,), **fields})


@pytest.mark.parametrize(
    ("by", "layers"),
    [("layer", []), ("layer", ["conv9"]), ("type", ["conv1"]), ("table", ["fc", "fc"])],
)
def test_layers(by: Any, layers: list[str]) -> None:
    options = ProbeOptions((0.1,), by=by)
    with pytest.raises(ConfigError):
        probe_corruption(tiny(), IMAGES.images, IMAGES.labels, options, layers=layers)
