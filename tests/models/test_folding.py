import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from rwsstore.models import fold_batchnorm, freeze_batchnorm, ordered_layers, weights_fingerprint
from rwsstore.models.folding import unfoldable_batchnorms
from tests.models.networks import Untraceable, lively, lively_classifier, pictures


def _batchnorms(model: nn.Module) -> set[str]:
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    return {name for name, module in model.named_modules() if isinstance(module, kinds)}


def _check(model: nn.Module, x: Tensor, stay: set[str]) -> nn.Module:
    """Fold a lively copy; outputs agree and exactly the named BatchNorms stay."""
    lively(model)
    folded = fold_batchnorm(model.eval())
    assert _batchnorms(folded) == stay
    assert set(unfoldable_batchnorms(model)) == stay
    with torch.no_grad():
        torch.testing.assert_close(folded(x), model(x), atol=1e-5, rtol=1e-4)
    return folded


@pytest.mark.parametrize(
    ("network", "size", "stay"),
    [
        ("vgg16", 32, 0),
        ("resnet18", 32, 0),
        ("resnet50", 32, 0),
        ("torchvision:resnet18", 64, 0),
        ("torchvision:mobilenet_v2", 64, 0),
        ("torchvision:densenet121", 64, 62),  # normalized before they are convolved
    ],
)
def test_logits_stay_and_batchnorms_go(network: str, size: int, stay: int) -> None:
    model = lively_classifier(network, size=size)
    folded = fold_batchnorm(model)
    with torch.no_grad():
        before, after = model(pictures(2, size)), folded(pictures(2, size))
    assert float(before.std()) > 1e-3  # the statistics left something to compare
    assert float((before - after).abs().max()) < 1e-4
    assert len(_batchnorms(folded)) == len(unfoldable_batchnorms(model)) == stay
    assert folded.spec == model.spec.model_copy(update={"folded": True})


def test_the_tree_of_attributes_stays() -> None:
    model = lively_classifier("resnet18")
    names = [name for name, _ in model.named_modules()]
    assert [name for name, _ in fold_batchnorm(model).named_modules()] == names
    assert isinstance(fold_batchnorm(model).network.get_submodule("bn1"), nn.Identity)


def test_the_model_given_is_not_changed() -> None:
    model = lively_classifier()
    model.network.train()
    before = weights_fingerprint(model.state_dict())
    folded = fold_batchnorm(model)
    for tensor in folded.state_dict().values():
        tensor.zero_()
    assert weights_fingerprint(model.state_dict()) == before
    assert model.network.training
    assert not model.training
    assert not model.spec.folded
    assert not any(module.training for module in folded.modules())


def test_folding_twice_is_folding_once() -> None:
    folded = fold_batchnorm(lively_classifier())
    again = fold_batchnorm(folded)
    assert weights_fingerprint(again.state_dict()) == weights_fingerprint(folded.state_dict())


def test_frozen_parameters_stay_frozen() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    model[0].requires_grad_(False)
    folded = fold_batchnorm(model)
    assert [p.requires_grad for p in folded.parameters()] == [False, False, True, True]


def test_rounds_once_from_float64() -> None:
    model = nn.Sequential(nn.Conv2d(64, 64, 3), nn.BatchNorm2d(64))
    lively(model)
    old = {name: tensor.double() for name, tensor in model.state_dict().items()}
    scale = old["1.weight"] / (old["1.running_var"] + 1e-5).sqrt()
    folded = fold_batchnorm(model).state_dict()
    weight = old["0.weight"] * scale.view(-1, 1, 1, 1)
    assert torch.equal(folded["0.weight"], weight.float())
    bias = (old["0.bias"] - old["1.running_mean"]) * scale + old["1.bias"]
    assert torch.equal(folded["0.bias"], bias.float())


@pytest.mark.parametrize(
    ("layer", "norm", "shape"),
    [
        (nn.Conv1d(3, 6, 3), nn.BatchNorm1d(6), (2, 3, 9)),
        (nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6, affine=False), (2, 3, 9, 9)),
        (nn.Conv2d(3, 6, 3, groups=3, padding=1), nn.BatchNorm2d(6, eps=0.1), (2, 3, 9, 9)),
        (nn.Conv3d(3, 6, 2), nn.BatchNorm3d(6), (2, 3, 4, 4, 4)),
        (nn.ConvTranspose1d(3, 6, 3), nn.BatchNorm1d(6), (2, 3, 9)),
        (nn.ConvTranspose2d(3, 6, 3, stride=2), nn.BatchNorm2d(6), (2, 3, 5, 5)),
        (nn.Linear(3, 6), nn.BatchNorm1d(6, momentum=None), (4, 3)),
        (nn.Linear(3, 6, bias=False), nn.BatchNorm1d(6, affine=False), (4, 3)),
    ],
)
def test_every_kind_of_layer_folds(
    layer: nn.Module, norm: nn.Module, shape: tuple[int, ...]
) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    _check(nn.Sequential(layer, norm, nn.ReLU()), x, stay=set())


class _Custom(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  torch's own name
        return super().forward(input).square()


def _hooked(layer: nn.Module) -> nn.Module:
    layer.register_forward_hook(lambda _module, _inputs, out: out.square())
    return layer


@pytest.mark.parametrize(
    ("layer", "norm"),
    [
        (nn.ConvTranspose2d(4, 4, 3, groups=2), nn.BatchNorm2d(4)),
        (_Custom(4, 4, 1), nn.BatchNorm2d(4)),
        (_hooked(nn.Conv2d(4, 4, 1)), nn.BatchNorm2d(4)),
        (parametrizations.weight_norm(nn.Conv2d(4, 4, 1)), nn.BatchNorm2d(4)),
        (nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)),
        (nn.ReLU(), nn.BatchNorm2d(4)),
    ],
)
def test_what_computes_something_else_stays(layer: nn.Module, norm: nn.Module) -> None:
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    _check(nn.Sequential(layer, norm), x, stay={"1"})


class _Awkward(nn.Module):
    """Ways in which a convolution and the BatchNorm behind it do not belong to each other."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.conv = nn.Conv2d(4, 4, 1)
        self.other = nn.Conv2d(4, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        if how == "tied":
            self.other.weight = self.conv.weight

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        normed: Tensor = self.norm(out)
        match self.how:
            case "output used twice":
                rest = out
            case "layer called twice":
                rest = self.conv(x + 1)
            case "norm called twice":
                rest = self.norm(self.other(x))
            case "weight read elsewhere":
                rest = nn.functional.conv2d(x, self.conv.weight)
            case _:
                rest = self.other(x)
        return normed + rest


@pytest.mark.parametrize(
    ("how", "stay"),
    [
        ("output used twice", {"norm"}),
        ("layer called twice", {"norm"}),
        ("norm called twice", {"norm"}),
        ("weight read elsewhere", {"norm"}),
        ("tied", {"norm"}),
        ("plain", set()),
    ],
)
def test_what_is_used_elsewhere_stays(how: str, stay: set[str]) -> None:
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    _check(_Awkward(how), x, stay)


class _Aliased(nn.Module):
    """Knows its BatchNorm by two names and calls it by the second."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)
        self.layers = nn.Sequential(nn.Conv2d(4, 4, 1), self.norm)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


def test_a_batchnorm_under_two_names_goes_from_both() -> None:
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    _check(_Aliased(), x, stay=set())


def test_a_leaf_is_not_looked_into() -> None:
    class Block(nn.Sequential):
        pass

    model = nn.Sequential(Block(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)), nn.Conv2d(4, 4, 1))
    assert _batchnorms(fold_batchnorm(model, leaves=[Block])) == {"0.1"}
    assert unfoldable_batchnorms(model, leaves=[Block]) == ("0.1",)
    assert _batchnorms(fold_batchnorm(model)) == set()


def test_an_untraceable_part_can_be_a_leaf() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), Untraceable())
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    lively(model)
    folded = fold_batchnorm(model.eval(), leaves=[Untraceable])
    torch.testing.assert_close(folded(x), model(x), atol=1e-5, rtol=1e-4)
    assert [layer.name for layer in ordered_layers(folded, leaves=[Untraceable])] == ["0", "2"]


def test_freezing_keeps_statistics_while_the_rest_trains() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1)).train()
    freeze_batchnorm(model)
    model(torch.ones(2, 3, 4, 4))
    assert model[1].training
    assert torch.equal(model.state_dict()["0.running_mean"], torch.zeros(3))
