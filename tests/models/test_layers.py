import pytest
import torch
from torch import Tensor, nn

from rwsstore.errors import ConfigError
from rwsstore.models import ModelSpec, build, fold_batchnorm, ordered_layers, shallowest
from rwsstore.models.layers import Layer
from rwsstore.models.registry import outline


def _names(model: nn.Module) -> list[str]:
    return [layer.name for layer in ordered_layers(model)]


def test_vgg16_has_fourteen_layers_of_weight_and_bias() -> None:
    model = outline(ModelSpec(network="vgg16", num_classes=10, folded=True))
    expected = [f"network.features.conv{number}" for number in range(1, 14)]
    expected.append("network.classifier")
    assert ordered_layers(model) == tuple(
        Layer(name, (f"{name}.weight", f"{name}.bias")) for name in expected
    )


def test_the_shallowest_five_of_vgg16_are_the_papers_555328_numbers() -> None:
    model = outline(ModelSpec(network="vgg16", num_classes=10, folded=True))
    names = [name for layer in shallowest(model, 5) for name in layer.parameters]
    assert sum(model.get_parameter(name).numel() for name in names) == 555_328


@pytest.mark.parametrize("network", ["resnet50", "torchvision:resnet50"])
def test_resnet50_is_a_stem_sixteen_blocks_and_one_linear_layer(network: str) -> None:
    layers = ordered_layers(outline(ModelSpec(network=network, num_classes=10, folded=True)))
    blocks = [
        f"layer{stage}.{block}"
        for stage, depth in enumerate((3, 4, 6, 3), 1)
        for block in range(depth)
    ]
    expected = [f"network.{name}" for name in ("conv1", *blocks, "fc")]
    assert [layer.name for layer in layers] == expected
    convolutions = [f"network.layer1.0.{c}" for c in ("conv1", "conv2", "conv3", "downsample.0")]
    assert layers[1].parameters == tuple(
        f"{name}.{kind}" for name in convolutions for kind in ("weight", "bias")
    )


@pytest.mark.parametrize(
    ("network", "folded"),
    [
        ("vgg16", True),
        ("resnet18", False),
        ("torchvision:densenet121", False),
        ("torchvision:densenet121", True),
        ("torchvision:vit_b_32", False),
    ],
)
def test_every_parameter_belongs_to_one_layer_and_no_buffer_does(
    network: str, folded: bool
) -> None:
    model = outline(ModelSpec(network=network, num_classes=10, input_size=32, folded=folded))
    listed = [name for layer in ordered_layers(model) for name in layer.parameters]
    assert sorted(listed) == sorted(name for name, _ in model.named_parameters())
    assert set(listed) <= set(model.state_dict())


def test_folding_does_not_change_the_layers() -> None:
    model = build(ModelSpec(network="resnet18", num_classes=10, width=0.125))
    assert _names(model) == _names(fold_batchnorm(model))


def test_a_bare_network_has_the_same_layers_without_the_prefix() -> None:
    model = build(ModelSpec(network="resnet18", num_classes=10, width=0.125))
    assert [f"network.{name}" for name in _names(model.network)] == _names(model)


def test_a_batchnorm_that_stays_belongs_to_the_layer_before_it() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1))
    first, second = ordered_layers(model)
    assert first == Layer("0", ("0.weight", "0.bias", "1.weight", "1.bias"))
    assert second == Layer("3", ("3.weight", "3.bias"))


def test_what_comes_before_every_layer_belongs_to_the_first() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4))
    (only,) = ordered_layers(model)
    parameters = ("0.weight", "0.bias", "1.weight", "1.bias", "2.weight", "2.bias")
    assert only == Layer("1", parameters)


class _Add(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.add(a, other=b)


class _Residual(nn.Module):
    """A block whose addition is written in one of several ways."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.conv = nn.Conv2d(4, 4, 1)
        self.add = _Add()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        match self.how:
            case "operator":
                return out + x
            case "in place":
                out += x
                return out
            case "method":
                return out.add(x)
            case "method in place":
                return out.add_(x)
            case _:
                module_sum: Tensor = self.add(out, x)
                return module_sum


@pytest.mark.parametrize("how", ["operator", "in place", "method", "method in place", "module"])
def test_a_block_that_adds_is_one_layer(how: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), _Residual(how), nn.Conv2d(4, 4, 1))
    assert _names(model) == ["0", "1", "2"]
    assert ordered_layers(model)[1].parameters == ("1.conv.weight", "1.conv.bias")


class _NoJoin(nn.Module):
    """Additions that join no two activations: with a number, a parameter, of shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(1))
        self.first, self.second = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        wide = x.shape[2] + x.size(3)
        out: Tensor = self.second(self.first(x) + 1 + self.shift)
        return out.reshape(-1, wide // 2)


def test_other_additions_join_nothing() -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 1), _NoJoin())
    assert _names(model) == ["0", "1.first", "1.second"]
    assert "1.shift" in ordered_layers(model)[1].parameters


class _Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(_Residual("operator"), _Residual("in place"))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x) + x
        return out


def test_of_nested_blocks_the_outermost_counts() -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 1), _Outer(), nn.Conv2d(4, 4, 1))
    assert _names(model) == ["0", "1", "2"]
    assert len(ordered_layers(model)[1].parameters) == 4


def test_the_whole_network_is_no_block() -> None:
    assert _names(_Outer()) == ["inner.0", "inner.1"]
    assert _names(nn.Sequential(_Outer())) == ["0.inner.0", "0.inner.1"]


def test_a_block_may_begin_with_its_normalization() -> None:
    block = nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1))

    class PreActivation(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = block

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = x + self.body(x)
            return out

    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), PreActivation(), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)
    )
    assert [(layer.name, len(layer.parameters)) for layer in ordered_layers(model)] == [
        ("0", 2), ("1", 6), ("3", 2),
    ]  # fmt: skip


class _Backwards(nn.Module):
    """Calls its layers in another order than it declares them, one of them twice."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.first = nn.Linear(4, 4), nn.Linear(4, 4)
        self.unused = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.first(self.last(self.first(x)))
        return out


def test_the_order_is_that_of_the_forward_pass() -> None:
    assert _names(_Backwards()) == ["first", "last"]


def test_tied_parameters_belong_to_the_layer_that_reads_them_first() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    assert [layer.parameters for layer in ordered_layers(model)] == [
        ("0.weight", "0.bias"), ("1.bias",),
    ]  # fmt: skip


def test_a_layer_whose_only_parameter_is_anothers_is_not_listed_again() -> None:
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    model[1].weight = model[0].weight
    assert _names(model) == ["0"]


class _Squared(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  torch's own name
        return super().forward(input).square()


def test_a_convolution_of_ones_own_class_is_a_layer() -> None:
    assert _names(nn.Sequential(_Squared(3, 4, 1), nn.Conv2d(4, 4, 1))) == ["0", "1"]


def test_every_kind_of_convolution_is_a_layer() -> None:
    model = nn.Sequential(
        nn.Conv1d(2, 2, 1),
        nn.ConvTranspose1d(2, 2, 1),
        nn.Unflatten(2, (1, -1)),
        nn.Conv2d(2, 2, 1),
        nn.ConvTranspose2d(2, 2, 1),
        nn.Unflatten(2, (1, -1)),
        nn.Conv3d(2, 2, 1),
        nn.ConvTranspose3d(2, 2, 1),
        nn.Linear(8, 2),
    )
    assert _names(model) == ["0", "1", "3", "4", "6", "7", "8"]


@pytest.mark.parametrize("k", [1, 3, 14])
def test_shallowest_are_the_first(k: int) -> None:
    model = build(ModelSpec(network="vgg16", num_classes=10, width=0.125))
    assert shallowest(model, k) == ordered_layers(model)[:k]


@pytest.mark.parametrize("k", [0, -1, 15])
def test_refuses_more_layers_than_there_are(k: int) -> None:
    model = build(ModelSpec(network="vgg16", num_classes=10, width=0.125))
    with pytest.raises(ConfigError, match=f"{k} layers were asked for; the model has 14"):
        shallowest(model, k)


def test_listing_leaves_the_model_as_it_was() -> None:
    model = build(ModelSpec(network="resnet18", num_classes=10, width=0.125)).train()
    attributes = set(vars(model)) | set(model._modules)
    ordered_layers(model)
    assert model.training
    assert all(module.training for module in model.modules())
    assert set(vars(model)) | set(model._modules) == attributes
