"""One flipped bit in memory is found, wherever it is."""

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from rwsstore.patches import Patch, QuantizedTensor
from rwsstore.runtime import LiveModel, PatchBag
from tests.runtime.making import MODELS, a_patch, bare_patch
from tests.training.tiny import two_convs


def flip(tensor: Tensor, bit: int, place: int = 0) -> None:
    """Flip one bit of one element, in memory."""
    whole = {1: torch.int8, 2: torch.int16, 4: torch.int32}[tensor.element_size()]
    bits = tensor.detach().view(whole).flatten()
    assert bits.data_ptr() == tensor.data_ptr()
    mask = (
        -(1 << (8 * tensor.element_size() - 1))
        if bit == 8 * tensor.element_size() - 1
        else (1 << bit)
    )
    bits[place] ^= mask


@cache
def patch_bytes() -> bytes:
    return a_patch(two_convs()).to_bytes()


def patched() -> tuple[LiveModel, Patch]:
    patch = Patch.from_bytes(patch_bytes())
    live = LiveModel(two_convs(), PatchBag([patch]))
    live.apply("fog", 0.7)
    return live, patch


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
def test_a_fresh_model_is_in_order(make: Callable[[], nn.Module]) -> None:
    model = make()
    live = LiveModel(model, PatchBag([a_patch(model)]))
    assert live.verify().ok
    found = live.verify(live.apply("fog"))
    assert found.ok
    assert found.problems == ()
    assert found.tensors == len(model.state_dict())
    assert found.state_digest == live.active.digest


def test_it_says_which_weights_are_live() -> None:
    live, _ = patched()
    patched_weights = live.verify().live_weights
    live.clear()
    assert live.verify().live_weights == live.clean.identity.clean_weights != patched_weights


@pytest.mark.parametrize("name", ["fc.weight", "conv1.weight"], ids=["untouched", "patched"])
def test_a_flipped_bit_in_the_clean_weights(name: str) -> None:
    live, _ = patched()
    for bit in range(32):
        flip(live.clean.state[name], bit, place=3)
        found = live.verify()
        assert not found.ok
        assert "clean weights in memory differ" in found.problems[0]
        flip(live.clean.state[name], bit, place=3)
        assert live.verify().ok


def test_a_flipped_bit_in_a_buffer() -> None:
    live = LiveModel(MODELS["resnet18 with BatchNorm"]())
    flip(live.clean.state["network.bn1.running_var"], 24)
    assert not live.verify().ok


def test_a_flipped_bit_in_a_patched_tensor() -> None:
    live, _ = patched()
    before = live.verify().live_weights
    tensor = live.active.state()["conv1.weight"]
    for bit in range(32):
        flip(tensor, bit, place=5)
        found = live.verify()
        assert found.problems == ("patched tensor 'conv1.weight' differs from a fresh build",)
        assert found.live_weights != before
        flip(tensor, bit, place=5)
        assert live.verify().ok


def test_a_flipped_bit_in_the_patch_that_the_variant_was_built_of() -> None:
    model = two_convs()
    patch = bare_patch(model)
    live = LiveModel(model, PatchBag([patch]))
    payload = patch.tensors["conv1.weight"]
    assert isinstance(payload, QuantizedTensor)
    flip(payload.codes, 6, place=1)
    live.apply("fog", 0.7)
    assert live.verify().problems == ("patched tensor 'conv1.weight' differs from a fresh build",)


@pytest.mark.parametrize("place", [0, 8, 700, -1])
def test_a_flipped_bit_in_the_bytes_of_a_patch(place: int) -> None:
    live, patch = patched()
    data = bytearray(patch.data)
    data[place] ^= 1
    object.__setattr__(patch, "data", bytes(data))
    found = live.verify()
    assert not found.ok
    assert "the bytes of 'fog' do not have its digest" in found.problems[0]


def test_a_tensor_that_is_no_longer_shared() -> None:
    live, _ = patched()
    fc = live.active.module.get_submodule("fc")
    fc.bias = nn.Parameter(fc.get_parameter("bias").clone())
    assert live.verify().problems == ("tensor 'fc.bias' is not shared with the clean model",)


def test_a_tied_tensor_that_is_no_longer_tied() -> None:
    model = MODELS["tied"]()
    live = LiveModel(model, PatchBag([a_patch(model)]))
    live.apply("fog")
    conv2 = live.active.module.get_submodule("conv2")
    conv2.weight = nn.Parameter(conv2.get_parameter("weight").clone())
    assert live.verify().problems == ("tensor 'conv2.weight' is not shared with the clean model",)


def test_a_variant_that_is_not_active_can_be_verified() -> None:
    live, _ = patched()
    variant = live.variant({"fog": 0.2})
    flip(variant.state()["conv1.bias"], 30)
    assert not live.verify(variant).ok
    assert live.verify().ok


def test_a_sign_of_zero_counts() -> None:
    model = two_convs()
    model.state_dict()["conv1.bias"].zero_()
    patch = a_patch(model, names=["conv1.weight"])
    live = LiveModel(model, PatchBag([patch]))
    live.apply("fog")
    flip(live.clean.state["conv1.bias"], 31)
    assert not live.verify().ok


def test_channels_last_weights_are_compared_as_well() -> None:
    model = two_convs().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub leaves this out
    live = LiveModel(model, PatchBag([a_patch(model)]))
    live.apply("fog")
    assert live.verify().ok
    with torch.no_grad():
        live.active.module.get_parameter("conv1.weight")[2, 1, 0, 0] += 1.0
    assert not live.verify().ok
