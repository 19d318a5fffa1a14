"""The layers of CLAT: convolutions on the main path, shortcuts left out."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rwsstore.errors import ConfigError
from rwsstore.models import ModelSpec, main_path_convolutions
from rwsstore.models.registry import outline
from tests.models.networks import Untraceable


def layers(network: str, *, folded: bool = False) -> tuple[str, ...]:
    width = 1.0 if network.startswith("torchvision:") else 0.125
    spec = ModelSpec(network=network, num_classes=10, width=width, folded=folded)
    found = main_path_convolutions(outline(spec))
    return tuple(name.removeprefix("network.") for name in found)


@pytest.mark.parametrize(
    ("network", "count", "folded"),
    [
        ("vgg16", 13, False), ("resnet18", 17, True), ("resnet32", 31, False),
        ("resnet50", 49, False),
    ],
)  # fmt: skip
def test_our_networks(network: str, count: int, folded: bool) -> None:
    found = layers(network, folded=folded)
    assert len(found) == len(set(found)) == count
    assert not any("downsample" in name for name in found)


@pytest.mark.parametrize(
    ("network", "count"),
    [("densenet121", 120), ("resnet18", 17), ("wide_resnet50_2", 49), ("vgg19_bn", 16)],
)
def test_networks_of_torchvision(network: str, count: int) -> None:
    found = layers(f"torchvision:{network}")
    assert len(found) == len(set(found)) == count
    assert not any("downsample" in name for name in found)


def test_the_order_is_that_of_the_forward_pass() -> None:
    vgg, densenet = layers("vgg16"), layers("torchvision:densenet121")
    assert vgg == tuple(f"features.conv{number}" for number in range(1, 14))
    numbered = dict(enumerate(densenet, start=1))
    assert numbered[1] == "features.conv0"
    for place, number in ((14, 1), (39, 2), (88, 3)):
        assert numbered[place] == f"features.transition{number}.conv"
    assert layers("resnet18")[:6] == (
        "conv1", "layer1.0.conv1", "layer1.0.conv2", "layer1.1.conv1", "layer1.1.conv2",
        "layer2.0.conv1",
    )  # fmt: skip


def three(size: int = 3) -> nn.Conv2d:
    return nn.Conv2d(3, 3, size, padding=size // 2)


class Joined(nn.Module):
    """Modules a, b, c and what joins them."""

    def __init__(
        self, join: Callable[["Joined", Tensor], Tensor], a: int = 3, b: int = 3, c: int = 3
    ) -> None:
        super().__init__()
        # Registered in another order than they are called in.
        self.c, self.b, self.a = three(c), three(b), three(a)
        self.norm, self.relu = nn.BatchNorm2d(3), nn.ReLU(inplace=True)
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        return self.join(self, x)


def _in_place(net: Joined, x: Tensor) -> Tensor:
    out: Tensor = net.b(net.a(x))
    out += net.c(x)
    return out


@pytest.mark.parametrize(
    "join",
    [
        lambda net, x: net.b(net.a(x)) + net.c(x),
        lambda net, x: net.c(x) + net.b(net.a(x)),
        lambda net, x: torch.add(net.b(net.a(x)), net.c(x)),
        lambda net, x: net.b(net.relu(net.norm(net.a(x)))).add(net.norm(net.c(x))),
        lambda net, x: (net.b(net.a(x)) + x) + net.c(x),
        _in_place,
    ],
)
def test_the_branch_with_fewer_convolutions_is_a_shortcut(
    join: Callable[[Joined, Tensor], Tensor],
) -> None:
    assert main_path_convolutions(Joined(join)) == ("a", "b")


def test_the_shortcut_may_be_the_larger_kernel_where_it_is_shorter() -> None:
    found = main_path_convolutions(Joined(lambda net, x: net.b(net.a(x)) + net.c(x), 1, 1, 7))
    assert found == ("a", "b")


@pytest.mark.parametrize("swapped", [False, True])
def test_of_equal_branches_the_smaller_kernel_is_a_shortcut(swapped: bool) -> None:
    def join(net: Joined, x: Tensor) -> Tensor:
        x = net.a(x)
        out: Tensor = net.c(x) + net.b(x) if swapped else net.b(x) + net.c(x)
        return out

    assert main_path_convolutions(Joined(join, c=1)) == ("a", "b")
    assert set(main_path_convolutions(Joined(join))) == {"a", "b", "c"}  # neither is shorter


def test_branches_that_are_concatenated_are_main_paths() -> None:
    def join(net: Joined, x: Tensor) -> Tensor:
        return torch.cat([net.b(net.a(x)), net.c(x)], dim=1)

    assert main_path_convolutions(Joined(join, c=1)) == ("a", "b", "c")


def test_identities_are_not_counted() -> None:
    def join(net: Joined, x: Tensor) -> Tensor:
        x = x + net.a(x)
        out: Tensor = x + net.c(net.b(x)) + 1
        return out

    assert main_path_convolutions(Joined(join)) == ("a", "b", "c")


class PreActivation(nn.Module):
    """Normalization and activation before each convolution, the shortcut behind the first."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.shortcut, self.first, self.second = three(), three(1), three(), three()
        self.norm1, self.norm2 = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        ready = self.norm1(self.stem(x)).relu()
        out: Tensor = self.second(self.norm2(self.first(ready)).relu()) + self.shortcut(ready)
        return out


def test_a_block_that_is_activated_before() -> None:
    assert main_path_convolutions(PreActivation()) == ("stem", "first", "second")


def test_a_convolution_that_is_called_twice_is_listed_once() -> None:
    def join(net: Joined, x: Tensor) -> Tensor:
        out: Tensor = net.b(net.a(net.c(net.a(x))))
        return out

    assert main_path_convolutions(Joined(join)) == ("a", "c", "b")
    assert main_path_convolutions(Joined(lambda net, x: net.a(x) + net.a(x.relu()))) == ("a",)


def test_only_what_is_called() -> None:
    assert main_path_convolutions(Joined(lambda net, x: net.b(x).mean((2, 3)))) == ("b",)


def test_other_convolutions_are_not_images() -> None:
    model = nn.Sequential(nn.ConvTranspose2d(3, 3, 2), three(), nn.Flatten(2), nn.Conv1d(3, 3, 1))
    assert main_path_convolutions(model) == ("1",)


def test_leaves_are_not_looked_into() -> None:
    model = nn.Sequential(three(), Untraceable())
    assert main_path_convolutions(model, leaves=[Untraceable]) == ("0",)


def test_the_model_is_not_touched() -> None:
    model = PreActivation().train()
    main_path_convolutions(model)
    assert model.training
    assert model.norm1.num_batches_tracked == 0


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="Sequential calls no Conv2d"):
        main_path_convolutions(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)))
    with pytest.raises(ConfigError, match="Untraceable cannot be traced"):
        main_path_convolutions(Untraceable())
