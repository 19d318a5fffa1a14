from collections import OrderedDict

import torch
from torch import Tensor, nn

from rwsstore.models import fold_batchnorm, ordered_layers
from rwsstore.probes.parameter_corruption import by_type
from rwsstore.probes.parameter_corruption.corruption import (
    all_parameters,
    by_layer,
    by_module,
    named_group,
)
from tests.models.networks import lively_classifier
from tests.probes.parameter_corruption.making import tiny
from tests.training.tiny import classifier


class Mixed(nn.Module):
    """One of each component, a parameter of the model's own, and a tied weight."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))
        self.token = nn.Embedding(5, 4)
        self.attention = nn.MultiheadAttention(4, 2)
        self.norm = nn.LayerNorm(4)
        self.conv = nn.ConvTranspose1d(4, 4, 1)
        self.out = nn.Linear(4, 5)
        self.out.weight = self.token.weight
        self.count = nn.Parameter(torch.ones(3, dtype=torch.int64), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x


def test_types_of_components() -> None:
    groups = {group.name: group for group in by_type(tiny())}
    assert list(groups) == ["conv", "norm", "linear"]
    assert groups["conv"].parameters == ("conv1.weight", "conv1.bias", "conv2.weight")
    assert groups["norm"].parameters == ("bn.weight", "bn.bias", "gn.weight", "gn.bias")
    assert groups["linear"].parameters == ("fc.weight", "fc.bias")
    assert [group.size for group in groups.values()] == [168 + 324, 24, 21]


def test_attention_embeddings_and_what_is_left() -> None:
    groups = {group.name: group.parameters for group in by_type(Mixed())}
    assert list(groups) == ["conv", "norm", "linear", "embedding", "attention", "other"]
    assert groups["embedding"] == ("token.weight",)  # the tied one counts once
    assert groups["linear"] == ("out.bias",)
    assert groups["attention"] == (
        "attention.in_proj_weight", "attention.in_proj_bias",
        "attention.out_proj.weight", "attention.out_proj.bias",
    )  # fmt: skip
    assert groups["other"] == ("scale",)  # not `count`: whole numbers have no gradient


def test_every_grouping_holds_every_parameter_once() -> None:
    for network in ("vgg16", "resnet18", "resnet50", "torchvision:mobilenet_v3_small"):
        model = lively_classifier(network)
        for found in (model, fold_batchnorm(model)):
            everything = {name for name, _ in found.named_parameters()}
            total = sum(parameter.numel() for parameter in found.parameters())
            for grouping in (by_type, by_layer, by_module):
                groups = grouping(found)
                names = [name for group in groups for name in group.parameters]
                assert len(names) == len(set(names))
                assert set(names) == everything
                assert sum(group.size for group in groups) == total
            assert set(all_parameters(found).parameters) == everything


def test_a_folded_network_has_no_norm() -> None:
    model = classifier("resnet18")
    assert [group.name for group in by_type(model)] == ["conv", "norm", "linear"]
    assert [group.name for group in by_type(fold_batchnorm(model))] == ["conv", "linear"]


def test_layers_are_those_of_the_library() -> None:
    model = classifier("resnet18")
    groups = by_layer(model)
    assert [(group.name, group.parameters) for group in groups] == [
        (layer.name, layer.parameters) for layer in ordered_layers(model)
    ]
    assert len(groups) == 10


def test_modules_one_by_one() -> None:
    assert [group.name for group in by_module(tiny())] == ["conv1", "bn", "conv2", "gn", "fc"]
    first = by_module(Mixed())[0]
    assert (first.name, first.parameters) == ("(model)", ("scale",))


def test_names() -> None:
    group = named_group(tiny(), ["fc.bias", "conv1.weight"], name="two")
    assert (group.name, group.parameters, group.size) == ("two", ("conv1.weight", "fc.bias"), 165)


def test_modules_may_be_called_anything() -> None:
    model = nn.Sequential(OrderedDict(model=nn.Linear(2, 2), all=nn.Linear(2, 2)))
    assert [group.name for group in by_module(model)] == ["model", "all"]
