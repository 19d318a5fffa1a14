from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rwsstore.corruptions import corrupt
from rwsstore.patches import Patch, patched_tensor
from rwsstore.probes import FeatureMaps, feature_maps
from rwsstore.runtime import LiveModel, PatchBag
from tests.probes.making import model, patch
from tests.runtime.making import bare_patch
from tests.training.tiny import classifier

IMAGE = torch.randint(
    0, 256, (3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)
FOG = patch("fog", layers=2)
CONV1, CONV2, CONV3 = (f"network.features.conv{number}" for number in (1, 2, 3))


def shown(
    layers: Sequence[str] | None = None,
    *,
    alpha: float | None = None,
    channels: int = 6,
    uncorrupted: Tensor | None = None,
) -> FeatureMaps:
    return feature_maps(
        model(), {"fog": alpha}, PatchBag([FOG]), IMAGE, layers=layers, channels=channels,
        uncorrupted=uncorrupted,
    )  # fmt: skip


def first_layer(image: Tensor, alpha: float) -> Tensor:
    """The plain reference: normalize, and one convolution."""
    state = model().state_dict()
    weight, bias = (
        patched_tensor(name, state[name], [(FOG.tensors[name], alpha)])
        for name in (f"{CONV1}.weight", f"{CONV1}.bias")
    )
    return F.conv2d(model().normalize(image[None]), weight, bias, padding=1)[0]


def test_maps_are_the_layers_outputs() -> None:
    found = shown([CONV1], alpha=0.5)
    clean, patched = first_layer(IMAGE, 0.0), first_layer(IMAGE, 0.5)
    (layer,) = found.layers
    difference = (patched - clean).abs().mean((1, 2))
    assert list(layer.channels) == difference.argsort(descending=True)[:6].tolist()
    expected = torch.stack([clean, patched])[:, list(layer.channels)]
    torch.testing.assert_close(layer.maps, expected)
    assert layer.change == pytest.approx(float((patched - clean).norm() / clean.norm()), rel=1e-5)
    assert layer.distances is None


def test_by_default_the_layers_that_the_patch_changes() -> None:
    assert [layer.layer for layer in shown().layers] == [CONV1, CONV2]
    assert [layer.layer for layer in shown([CONV3, CONV1]).layers] == [CONV3, CONV1]
    whole = bare_patch(model(), "fog", names=["network.classifier.weight", f"{CONV2}.bias"])
    found = feature_maps(model(), {"fog": None}, PatchBag([whole]), IMAGE)
    assert [layer.layer for layer in found.layers] == [CONV2]  # logits are no feature maps


def test_predictions_are_the_models() -> None:
    found = shown()
    probabilities = model()(IMAGE[None]).softmax(1)[0]
    clean, patched = found.views
    assert (clean.label, patched.label) == ("clean model", "fog=1")
    assert clean.predicted == int(probabilities.argmax())
    assert clean.probability == pytest.approx(float(probabilities.max().detach()), rel=1e-5)
    assert patched.probability != clean.probability
    assert torch.equal(clean.image, IMAGE)


def test_an_uncorrupted_image_is_a_third_view() -> None:
    foggy = corrupt(IMAGE[None], "fog", 5, seed=0)[0]
    found = feature_maps(
        model(), {"fog": 1.0}, PatchBag([FOG]), foggy, layers=[CONV1], uncorrupted=IMAGE
    )
    assert [view.label for view in found.views][2] == "clean model, uncorrupted image"
    assert torch.equal(found.views[2].image, IMAGE)
    (layer,) = found.layers
    clean, patched, whole = first_layer(foggy, 0), first_layer(foggy, 1), first_layer(IMAGE, 0)
    torch.testing.assert_close(layer.maps[2], whole[list(layer.channels)])
    expected = [float((one - whole).norm() / whole.norm()) for one in (clean, patched)]
    assert layer.distances == pytest.approx(expected, rel=1e-5)


def test_fewer_channels_than_asked_for_are_all() -> None:
    assert len(shown([CONV1], channels=100).layers[0].channels) == 8


def test_the_model_is_left_alone_and_unhooked(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[LiveModel] = []

    class Remembered(LiveModel):
        def __init__(self, *given: Any, **options: Any) -> None:
            super().__init__(*given, **options)
            made.append(self)

    monkeypatch.setattr("rwsstore.probes.features.LiveModel", Remembered)
    own = classifier(folded=True)
    before = {name: tensor.clone() for name, tensor in own.state_dict().items()}
    logits = own(IMAGE[None])
    feature_maps(own, {"fog": None}, PatchBag([FOG]), IMAGE)
    assert all(torch.equal(before[name], tensor) for name, tensor in own.state_dict().items())
    assert torch.equal(own(IMAGE[None]), logits)
    (live,) = made
    for network in (own, live.clean.module, live.variant({"fog": None}).module):
        assert not any(module._forward_hooks for module in network.modules())


class InPlace(nn.Module):
    """Its activation overwrites what the convolution gave out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.relu(self.conv(x.float() / 255)).mean((2, 3)))
        return logits


def test_an_activation_in_place_does_not_change_the_maps() -> None:
    torch.manual_seed(0)
    own = InPlace().eval()
    one: Patch = bare_patch(own, "fog", names=["conv.weight"])
    (layer,) = feature_maps(own, {"fog": None}, PatchBag([one]), IMAGE, channels=4).layers
    expected = own.conv(IMAGE[None].float() / 255)[0, list(layer.channels)]
    torch.testing.assert_close(layer.maps[0], expected.detach())
    assert float(layer.maps.min()) < 0
