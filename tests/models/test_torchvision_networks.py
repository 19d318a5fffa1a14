import pytest
import torch

from rwsstore.models import ModelSpec, build
from rwsstore.models.registry import outline
from rwsstore.models.vision_shim import import_torchvision, torchvision_names
from tests.models.networks import pictures, spec


def test_names_are_those_of_torchvision() -> None:
    models = import_torchvision().models
    assert torchvision_names() == tuple(f"torchvision:{n}" for n in models.list_models(models))
    assert "torchvision:resnet18" in torchvision_names()
    assert not any("segmentation" in name or "rcnn" in name for name in torchvision_names())


@pytest.mark.parametrize("network", ["googlenet", "vit_b_32"])
def test_builds_and_classifies(network: str) -> None:
    model = build(spec(f"torchvision:{network}", size=64)).eval()
    with torch.no_grad():
        assert model(pictures(1, 64)).shape == (1, 10)


def test_some_networks_have_no_outline_and_are_built_instead() -> None:
    model = outline(ModelSpec(network="torchvision:regnet_y_400mf", num_classes=10, folded=True))
    assert model.network.get_submodule("fc").get_parameter("weight").shape[0] == 10


def test_weights_come_from_the_seed() -> None:
    first, second = (build(spec("torchvision:squeezenet1_1")).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
