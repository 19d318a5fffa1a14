import pytest
import torch
from torch import nn

from rwsstore.models import ModelSpec, build
from rwsstore.models.registry import outline
from rwsstore.models.vision_shim import import_torchvision
from tests.models.networks import pictures


@pytest.mark.parametrize("network", ["resnet18", "resnet50"])
def test_only_the_stem_differs_from_torchvision(network: str) -> None:
    ours = outline(ModelSpec(network=network, num_classes=10)).network.state_dict()
    models = import_torchvision().models
    with torch.device("meta"):
        theirs = models.get_model(network, weights=None, num_classes=10).state_dict()
    assert set(ours) == set(theirs)
    assert {name for name in ours if ours[name].shape != theirs[name].shape} == {"conv1.weight"}


def test_the_stem_keeps_the_resolution() -> None:
    network = build(ModelSpec(network="resnet18", num_classes=10, width=0.125)).network
    sizes: list[int] = []
    for stage in ("layer1", "layer2", "layer3", "layer4"):
        module = network.get_submodule(stage)
        module.register_forward_hook(lambda _m, _i, out: sizes.append(out.shape[-1]))
    network.eval()(torch.zeros(1, 3, 32, 32))
    assert sizes == [32, 16, 8, 4]


@pytest.mark.parametrize("network", ["resnet18", "resnet50"])
def test_takes_images_of_eight_pixels(network: str) -> None:
    model = build(ModelSpec(network=network, num_classes=3, width=0.125, input_size=8)).eval()
    with torch.no_grad():
        assert model(pictures(1, 8)).shape == (1, 3)


def test_width_scales_every_block() -> None:
    model = outline(ModelSpec(network="resnet50", num_classes=10, width=0.25))
    assert {m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d)} == {
        16, 32, 64, 128, 256, 512,
    }  # fmt: skip
