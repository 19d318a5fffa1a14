from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rwsstore.models import ModelSpec, build, ordered_layers
from rwsstore.models.graph import Graph
from rwsstore.runtime.splitting import cut
from tests.runtime.making import MODELS, equal_bits, pixels, shallow_names, split_after

everyone = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())


class _Halves(nn.Module):
    """Two values cross the cut: what the head made, and the pictures themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(7, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x.float() / 255
        made = self.first(x).relu()
        logits: Tensor = self.second(torch.cat([made, x], 1)).mean((2, 3))
        return logits


class _Scaled(nn.Module):
    """A parameter that belongs to no layer is read at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.conv(x.float() / 255).mean((2, 3)) * self.scale
        return logits


class _Counting(_Halves):
    """The number of images crosses the cut, which no two batches can be joined at."""

    def forward(self, x: Tensor) -> Tensor:
        count = x.shape[0]
        made = self.first(x.float() / 255).relu()
        logits: Tensor = made.reshape(count, -1)[:, :5] + count
        return logits


class _Branching(_Halves):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.float().mean() > 1 else x + 1)


def _halves(model: nn.Module, names: list[str], images: Tensor) -> Tensor:
    split = split_after(model, names, images)
    assert split is not None
    with torch.inference_mode():
        return split.whole(model, images)


@everyone
@pytest.mark.parametrize("count", [2, 5])
def test_the_halves_give_the_bits_of_the_whole(make: Callable[[], nn.Module], count: int) -> None:
    model, images = make().eval(), pixels(count)
    with torch.inference_mode():
        whole = model(images)
    assert equal_bits(_halves(model, shallow_names(model, 1), images), whole)


@pytest.mark.parametrize(
    ("network", "width"),
    [("resnet50", 0.25), ("torchvision:densenet121", 1.0), ("torchvision:googlenet", 1.0)],
)
def test_networks_are_cut_anywhere(network: str, width: float) -> None:
    model = build(ModelSpec(network=network, num_classes=3, input_size=32, width=width)).eval()
    layers, images = ordered_layers(model), pixels(2).repeat(1, 1, 2, 2)
    with torch.inference_mode():
        whole = model(images)
    for share in (0.2, 0.7):
        names = [name for one in layers[: int(share * len(layers))] for name in one.parameters]
        split = split_after(model, names, images)
        assert split is not None
        assert min(split.operations[1:]) > 3
        with torch.inference_mode():
            assert equal_bits(split.whole(model, images), whole)


def test_the_cut_is_right_behind_the_last_reader() -> None:
    model, images = _Halves().eval(), pixels()
    split = split_after(model, ["first.weight"], images)
    assert split is not None
    crossing = split.head(model, *split.root(model, images))
    assert [tuple(value.shape[1:]) for value in crossing] == [(3, 16, 16), (4, 16, 16)]
    assert torch.equal(crossing[1], model.first(images.float() / 255))


def test_what_the_head_reads_is_of_the_module_that_it_is_given() -> None:
    model, other, images = _Halves().eval(), _Halves().eval(), pixels()
    other.second = model.second
    split = split_after(model, ["first.weight", "first.bias"], images)
    assert split is not None
    with torch.inference_mode():
        entering = split.root(model, images)
        assert equal_bits(split.trunk(model, *split.head(other, *entering)), other(images))


def test_nothing_patched_leaves_every_layer_to_the_trunk() -> None:
    model, images = _Halves().eval(), pixels()
    split = split_after(model, [], images)
    assert split is not None
    assert split.operations[:2] == (3, 0)  # the images, as floats, in [0, 1]
    assert torch.equal(_halves(model, [], images), model(images))


def test_what_does_nothing_is_left_out() -> None:
    layers = [nn.Conv2d(3, 4, 3), nn.Identity(), nn.Dropout(), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    model, images = nn.Sequential(*layers, nn.Flatten()).eval(), pixels().float()
    graph = Graph(model)
    graph.leave_out_identities()
    split = cut(graph, ["0.weight"])
    assert split is not None
    assert split.operations == (1, 1, 3)
    with torch.inference_mode():
        assert equal_bits(split.whole(model, images), model(images))


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (_Scaled(), ["scale"]),
        (_Halves(), ["second.bias"]),
        (_Counting(), ["first.weight"]),
        (_Branching(), ["first.weight"]),
    ],
    ids=["read last", "a later operation is left", "a number crosses", "not traced"],
)
def test_what_cannot_be_cut(model: nn.Module, names: list[str]) -> None:
    split = split_after(model.eval(), names, pixels())
    if names == ["second.bias"]:  # the mean over pixels is left for the trunk
        assert split is not None
        assert split.operations[2] == 1
    else:
        assert split is None


def test_the_model_is_left_as_it_is() -> None:
    model = MODELS["resnet18 with BatchNorm"]().eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    attributes = {name: set(vars(module)) for name, module in model.named_modules()}
    split_after(model, shallow_names(model, 2), pixels())
    assert all(equal_bits(model.state_dict()[name], tensor) for name, tensor in before.items())
    assert {name: set(vars(module)) for name, module in model.named_modules()} == attributes
    assert not any(module.training for module in model.modules())
