import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rwsstore.models import Normalize
from rwsstore.models.graph import Graph
from rwsstore.patches import Patch, identify, make_patch
from rwsstore.runtime import FORMATS, ComputeFormat, LiveModel, PatchBag
from rwsstore.runtime.bounds import LARGEST, UNBOUNDED, Bounds, ValueRange
from tests.runtime.making import MODELS, SIZE, bare_patch, pixels, reference_state

PROVABLE = ("vgg16", "resnet18", "resnet18 with BatchNorm")


def bound(model: nn.Module, *patches: tuple[Patch, float]) -> ValueRange:
    return Bounds(Graph(model)).logits(patches)


def extremes(size: int = SIZE) -> Tensor:
    """Black, white, each value one of these, and anything between."""
    generator = torch.Generator().manual_seed(0)
    random = torch.rand(6, 3, size, size, generator=generator)
    return torch.cat(
        [torch.zeros_like(random[:1]), torch.ones_like(random[:1]), random.round(), random]
    )


def sequential(*layers: nn.Module) -> nn.Sequential:
    """Layers with weights of either sign."""
    generator = torch.Generator().manual_seed(1)
    model = nn.Sequential(*layers).eval().requires_grad_(False)
    for tensor in model.parameters():
        tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return model


def check_within(model: nn.Module, chosen: list[tuple[Patch, float]], images: Tensor) -> None:
    found = bound(model, *chosen)
    assert found != UNBOUNDED
    model.load_state_dict(reference_state(model, chosen))
    with torch.inference_mode():
        outputs = model(images)
    assert found.low <= float(outputs.min())
    assert float(outputs.max()) <= found.high


@pytest.mark.parametrize("kind", PROVABLE)
@pytest.mark.parametrize("alphas", [(), (1.0,), (-3.0, 0.5)])
@pytest.mark.parametrize("images", [extremes(), pixels()], ids=["floats", "bytes"])
def test_no_logit_of_a_network_lies_outside(
    kind: str, alphas: tuple[float, ...], images: Tensor
) -> None:
    model = MODELS[kind]().eval()
    names = [name for name, _ in model.named_parameters() if "bn" not in name]
    chosen = [
        (bare_patch(model, f"patch{seed}", seed=seed, names=names[:6]), alpha)
        for seed, alpha in enumerate(alphas)
    ]
    check_within(model, chosen, images)


LAYERS: dict[str, Callable[[], list[nn.Module]]] = {
    "convolution": lambda: [nn.Conv2d(3, 4, 3, padding=1, stride=2)],
    "grouped, without bias": lambda: [nn.Conv2d(3, 6, 3, groups=3, bias=False)],
    "reflected": lambda: [nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")],
    "linear": lambda: [nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 5)],
    "ReLU": lambda: [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1)],
    "two signs": lambda: [nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1)],
    "largest": lambda: [nn.MaxPool2d(2), nn.Conv2d(3, 4, 3)],
    "average": lambda: [nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1)],
    "nothing": lambda: [nn.Conv2d(3, 4, 3), nn.Identity(), nn.Dropout()],
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())
@pytest.mark.parametrize("alpha", [0.0, 1.7, -20.0])
def test_no_output_of_a_layer_lies_outside(
    make: Callable[[], list[nn.Module]], alpha: float
) -> None:
    model = sequential(*make())
    names = [name for name, _ in model.named_parameters()]
    check_within(model, [(bare_patch(model, names=names, bits=32), alpha)], extremes())


@pytest.mark.parametrize("weight", [2.0, -2.0])
@pytest.mark.parametrize("mean", [5.0, -5.0])
def test_normalizations(weight: float, mean: float) -> None:
    layer = nn.BatchNorm2d(3)
    assert layer.running_mean is not None
    assert layer.running_var is not None
    model = sequential(Normalize((0.4, 0.5, 0.6), (0.2, 0.5, 3.0)), layer)
    layer.weight.data.fill_(weight)
    layer.running_mean.fill_(mean)
    layer.running_var.copy_(torch.tensor([0.1, 2.0, 0.5]))
    check_within(model, [], extremes())
    plain = sequential(nn.BatchNorm2d(3, affine=False))
    check_within(plain, [], extremes())


def raising(model: nn.Module, name: str, *tensors: str, by: float = 1.0) -> Patch:
    """A patch that adds one number to every weight of some tensors."""
    state = model.state_dict()
    return make_patch(
        kind="rws",
        name=name,
        model=identify(state),
        layers=(),
        deltas={tensor: torch.full_like(state[tensor], by) for tensor in tensors},
        bits=32,
    )


def all_at(value: float, *layers: nn.Module) -> nn.Sequential:
    model = sequential(*layers)
    for tensor in model.parameters():
        tensor.fill_(value)
    return model


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_bounds_are_reached_where_all_weights_pull_one_way(sign: float) -> None:
    last = nn.Linear(1, 1)
    model = all_at(0.25, nn.Conv2d(3, 1, SIZE), nn.ReLU(), nn.Flatten(), last)
    last.weight.data.mul_(sign)
    first, second = ("0.weight", "0.bias"), ("0.weight", "3.bias")
    chosen = [
        (raising(model, "first", *first), 2.0),
        (raising(model, "second", *second, by=sign), sign),
    ]
    found = bound(model, *chosen)
    model.load_state_dict(reference_state(model, chosen))
    white = float(model(torch.ones(1, 3, SIZE, SIZE)))
    reached = found.high if sign > 0 else -found.low
    assert abs(white) <= reached <= 1.01 * abs(white) + 4


def test_a_bias_that_is_patched() -> None:
    model = all_at(0.0, nn.Conv2d(3, 1, 1))
    patch = raising(model, "fog", "0.bias")
    for alpha in (2.0, -2.0):
        check_within(all_at(0.0, nn.Conv2d(3, 1, 1)), [(patch, alpha)], extremes())


def test_what_is_below_nothing_times_a_negative_weight() -> None:
    check_within(
        all_at(-9.0, nn.Conv2d(3, 1, 1, bias=False), nn.Conv2d(1, 1, 1, bias=False)), [], extremes()
    )


class _Sum(nn.Module):
    def __init__(self, add: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.add = add

    def forward(self, x: Tensor) -> Tensor:
        return self.add(torch.relu(self.conv(x)), self.conv(x))


def test_sums() -> None:
    model = sequential(_Sum(torch.add))
    names = ["0.conv.weight"]
    check_within(model, [(bare_patch(model, names=names), 3.0)], extremes())


def _scaled(x: Tensor, y: Tensor) -> Tensor:
    return torch.add(x, y, alpha=1000)


UNKNOWN: dict[str, Callable[[], nn.Module]] = {
    "a sum that is scaled": lambda: _Sum(_scaled),
    "a number added to itself": lambda: _Sum(lambda x, _y: x + x),
    "a constant added": lambda: _Sum(lambda x, _y: x + 1e38),
    "another operation": lambda: _Sum(lambda x, y: x * y),
    "another layer": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softplus(threshold=1)),
    "statistics of the batch": lambda: nn.BatchNorm2d(3, track_running_stats=False),
}


@pytest.mark.parametrize("make", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_is_not_known_has_no_bound(make: Callable[[], nn.Module]) -> None:
    assert bound(sequential(make())) == UNBOUNDED


def _with(weight: float, layer: nn.Module) -> nn.Module:
    with torch.no_grad():
        next(layer.parameters()).fill_(weight)
    return layer


def test_a_large_weight_counts_though_its_input_is_nothing() -> None:
    model = sequential(nn.Conv2d(3, 1, 1, bias=False), nn.ReLU(), nn.Conv2d(1, 1, 1, bias=False))
    _with(0.0, model[0])
    assert bound(model).high < 2
    for weight in (1e38, -1e38, math.inf, math.nan):
        _with(weight, model[2])
        assert bound(model) == UNBOUNDED


def test_steps_on_the_way_are_bounded_too() -> None:
    layer = nn.BatchNorm2d(3)
    model = sequential(layer)
    assert layer.running_mean is not None
    layer.weight.data.zero_()
    assert bound(model) != UNBOUNDED
    layer.running_mean.fill_(1e38)  # times 0, but first taken from what comes in
    assert bound(model) == UNBOUNDED


def test_a_patched_normalization_has_no_bound() -> None:
    model = MODELS["resnet18 with BatchNorm"]().eval()
    patch = bare_patch(model, names=["network.bn1.weight"])
    assert bound(model) != UNBOUNDED
    assert bound(model, (patch, 1.0)) == UNBOUNDED


def test_a_patch_moves_every_layer_that_shares_its_tensor() -> None:
    conv = nn.Conv2d(3, 3, 1, bias=False)
    tied = sequential(conv, nn.ReLU(), nn.Conv2d(3, 3, 1, bias=False))
    tied[2].weight = conv.weight
    apart = sequential(nn.Conv2d(3, 3, 1, bias=False), nn.ReLU(), nn.Conv2d(3, 3, 1, bias=False))
    apart.load_state_dict(tied.state_dict())
    one = bare_patch(tied, names=["0.weight"])
    both = [(bare_patch(apart, names=[name]), 5.0) for name in ("0.weight", "2.weight")]
    assert bound(tied, (one, 5.0)) == bound(apart, *both)


@pytest.mark.parametrize("compute", FORMATS.values(), ids=FORMATS.keys())
def test_a_live_model_knows_which_patch_sets_cannot_overflow(compute: ComputeFormat) -> None:
    model = MODELS["vgg16"]().eval()
    patches = [bare_patch(model, name, seed=seed) for seed, name in enumerate("ab")]
    loud = bare_patch(model, "loud", bits=32, scale=LARGEST)
    live = LiveModel(model, PatchBag([*patches, loud]), compute=compute)
    assert live.bounded(live.active)
    variant = live.variant({"a": 1.0, "b": 2.0})
    assert live.bounded(variant)
    live(pixels())
    live.prepare(variant)
    assert live.bounded(variant)
    assert not live.bounded(live.variant({"a": 1.0, "loud": 1.0}))


class _Loud(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gain = nn.Conv2d(3, 2, SIZE), nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = (self.conv(x) * self.gain).flatten(1)
        return logits


def test_a_patched_number_that_is_no_layer_has_no_bound() -> None:
    model = sequential(_Loud())
    live = LiveModel(model, PatchBag([bare_patch(model, names=["0.gain"], bits=32)]))
    assert not live.bounded(live.variant({"fog": 1.0}))


def test_a_model_that_cannot_be_traced_has_no_bound() -> None:
    live = LiveModel(MODELS["loose"]())
    assert not live.bounded(live.active)
