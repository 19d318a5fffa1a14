import pytest
import torch
from torch import nn

from rwsstore.errors import ConfigError
from rwsstore.models import ModelSpec, build, fold_batchnorm
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


@pytest.mark.parametrize(("network", "stem"), [("resnet32", 32), ("resnet32_stride2", 16)])
def test_a_small_resnet_has_three_stages(network: str, stem: int) -> None:
    model = build(ModelSpec(network=network, num_classes=10, width=0.5)).network
    shapes: list[tuple[int, ...]] = []
    for stage in ("bn1", "layer1", "layer2", "layer3"):
        model.get_submodule(stage).register_forward_hook(
            lambda _m, _i, out: shapes.append(tuple(out.shape[1:]))
        )
    model.eval()(torch.zeros(1, 3, 32, 32))
    channels = (8, 8, 16, 32)
    sizes = (stem, stem, stem // 2, stem // 4)
    assert shapes == [(c, s, s) for c, s in zip(channels, sizes, strict=True)]


def test_resnet32_has_as_many_parameters_as_its_authors_say_whatever_the_stride() -> None:
    states = [
        outline(ModelSpec(network=network, num_classes=10)).state_dict()
        for network in ("resnet32", "resnet32_stride2")
    ]
    shapes = [{name: tuple(t.shape) for name, t in state.items()} for state in states]
    assert shapes[0] == shapes[1]
    model = outline(ModelSpec(network="resnet32", num_classes=10))
    # 0.46 million; the two shortcuts' 1×1 convolutions and their norms are 2,752 of them.
    assert sum(parameter.numel() for parameter in model.parameters()) == 466_906
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert len([m for m in convolutions if m.kernel_size == (3, 3)]) == 31


@pytest.mark.parametrize("network", ["resnet32", "resnet32_stride2"])
def test_a_small_resnet_folds_whole(network: str) -> None:
    model = build(ModelSpec(network=network, num_classes=10, width=0.5), seed=1).train()
    with torch.no_grad():
        model(pictures(8))  # running statistics that are not those of a new network
    model.eval()
    folded = fold_batchnorm(model)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    images = pictures(3)
    torch.testing.assert_close(folded(images), model(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("network", ["resnet18", "resnet32_stride2", "resnet50"])
def test_takes_images_of_eight_pixels(network: str) -> None:
    model = build(ModelSpec(network=network, num_classes=3, width=0.125, input_size=8)).eval()
    with torch.no_grad():
        assert model(pictures(1, 8)).shape == (1, 3)


def test_width_scales_every_block() -> None:
    model = outline(ModelSpec(network="resnet50", num_classes=10, width=0.25))
    assert {m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d)} == {
        16, 32, 64, 128, 256, 512,
    }  # fmt: skip


@pytest.mark.parametrize("network", ["resnet32", "resnet18"])
def test_none_is_built_without_batchnorm(network: str) -> None:
    with pytest.raises(ConfigError, match=f"{network} cannot be built without BatchNorm"):
        build(ModelSpec(network=network, num_classes=10, batch_norm=False))
