"""What is filtered, and which parameters go with it."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from rwsstore.models import ordered_layers
from rwsstore.probes.filtering import parameters_of
from rwsstore.probes.filtering.curves import filtered_layers
from tests.probes.filtering.making import LAYERS, data, trained
from tests.training.tiny import classifier


def test_in_the_order_of_the_forward_pass() -> None:
    assert filtered_layers(trained(), data()[0]) == LAYERS


@pytest.mark.parametrize("folded", [False, True])
def test_of_a_plain_network_they_are_the_layers(folded: bool) -> None:
    model = classifier(folded=folded)
    names = [layer.name for layer in ordered_layers(model)]
    assert list(filtered_layers(model, torch.rand(1, 3, 16, 16))) == names
    owned = parameters_of(model, names)
    assert owned == {layer.name: layer.parameters for layer in ordered_layers(model)}


def test_a_block_stands_for_its_convolutions() -> None:
    model, images = trained(), data()[0]
    assert filtered_layers(model, images, ["block"]) == ("block.first", "block.second")
    assert filtered_layers(model, images, ["head", "stem"]) == ("stem", "head")


def test_every_parameter_goes_with_one_layer() -> None:
    owned = parameters_of(trained(), LAYERS)
    assert owned["stem"] == (
        "norm0.weight", "norm0.bias", "stem.weight", "stem.bias", "norm1.weight", "norm1.bias",
    )  # fmt: skip
    assert owned["block.first"] == ("block.first.weight", "block.first.bias")
    assert owned["block.second"] == (
        "block.second.weight", "block.second.bias", "block.norm.weight", "block.norm.bias",
    )  # fmt: skip
    every = [name for names in owned.values() for name in names]
    known = {name for name, _ in trained().named_parameters()}
    assert sorted(every) == sorted(known - {"unused.weight", "unused.bias"})


def test_of_some_layers_only_theirs() -> None:
    assert parameters_of(trained(), ["head"]) == {"head": ("head.weight", "head.bias")}


class Shared(nn.Module):
    """Two layers with one weight, one that is called twice, and one whose weight is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 3, 1)
        self.again = nn.Conv2d(3, 3, 1)
        self.again.weight = self.stem.weight
        self.normed = weight_norm(nn.Conv2d(3, 3, 1))
        self.line = nn.Conv1d(3, 3, 1)
        self.head = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.normed(self.again(self.stem(x)))
        logits: Tensor = self.head(self.head(self.line(x.flatten(2)).mean(2)))
        return logits


def test_what_cannot_be_filtered_by_itself_is_left_out() -> None:
    model = Shared().eval()
    filtered = filtered_layers(model, torch.rand(1, 3, 4, 4))
    assert filtered == ("stem", "head")
    assert parameters_of(model, filtered) == {
        "stem": ("stem.weight", "stem.bias"),
        "head": ("head.weight", "head.bias"),
    }
