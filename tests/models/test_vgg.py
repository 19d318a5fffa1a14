import pytest
import torch
from torch import nn

from rwsstore.models import ModelSpec, build, fold_batchnorm
from rwsstore.models.registry import outline
from tests.models.networks import pictures


def test_full_width_is_the_papers_network() -> None:
    model = outline(ModelSpec(network="vgg16", num_classes=10, batch_norm=False))
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    channels = [conv.out_channels for conv in convolutions]
    assert channels == [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    assert sum(isinstance(m, nn.MaxPool2d) for m in model.modules()) == 4
    # 58.8 MB in the paper: 14,719,818 float32.
    assert sum(p.numel() for p in model.parameters()) * 4 == 58_879_272


def test_folded_it_has_the_tensors_of_the_one_without_batchnorm() -> None:
    with_norm = outline(ModelSpec(network="vgg16", num_classes=10, folded=True)).state_dict()
    without = outline(ModelSpec(network="vgg16", num_classes=10, batch_norm=False)).state_dict()
    assert {n: t.shape for n, t in with_norm.items()} == {n: t.shape for n, t in without.items()}


@pytest.mark.parametrize("size", [1, 8, 31, 32, 40])
def test_takes_images_of_any_size(size: int) -> None:
    model = build(ModelSpec(network="vgg16", num_classes=3, width=0.125, input_size=size)).eval()
    with torch.no_grad():
        assert fold_batchnorm(model)(pictures(1, size)).shape == (1, 3)


@pytest.mark.parametrize("width", [0.01, 0.125, 0.3, 1.5])
def test_channels_are_multiples_of_eight(width: float) -> None:
    model = outline(ModelSpec(network="vgg16", num_classes=3, width=width))
    channels = [m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert all(c % 8 == 0 and c >= 8 for c in channels)
    assert channels[0] == {0.01: 8, 0.125: 8, 0.3: 16, 1.5: 96}[width]
