import pytest
import torch
from torch import nn

from rwsstore.models import ModelSpec, build
from rwsstore.models.networks import scaled
from tests.models.networks import pictures


@pytest.mark.parametrize(
    ("channels", "width", "expected"),
    [(64, 1.0, 64), (64, 0.375, 24), (512, 0.25, 128), (64, 0.01, 8), (64, 0.2, 16)],
)
def test_channels_are_rounded_to_eights(channels: int, width: float, expected: int) -> None:
    assert scaled(channels, width) == expected


def test_activations_keep_their_scale_through_thirteen_convolutions() -> None:
    model = build(ModelSpec(network="vgg16", num_classes=10, width=0.5, batch_norm=False)).eval()
    scales = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _m, _i, out: scales.append(out.std().item()))
    with torch.no_grad():
        model(pictures(4))
    assert 0.2 < scales[-1] / scales[0] < 5


def test_weights_have_he_variance_and_biases_are_zero() -> None:
    network = build(ModelSpec(network="vgg16", num_classes=10, batch_norm=False)).network
    weight = network.get_parameter("features.conv8.weight")
    assert weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.01)
    assert not network.get_parameter("features.conv8.bias").any()
    head = network.get_parameter("classifier.weight")
    assert head.std().item() == pytest.approx((1 / 512) ** 0.5, rel=0.05)
