from collections.abc import Callable

import pytest
import torch
from torch import nn

from rwsstore.errors import TensorError
from rwsstore.patches import PatchSet, identify
from rwsstore.runtime import CleanModel
from rwsstore.runtime.variant import build_variant, state_digest
from tests.runtime.making import MODELS, bare_patch, equal_bits, pixels, reference_state

everyone = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())


@everyone
def test_its_tensors_are_those_of_a_plain_sum_in_the_order_of_the_digests(
    make: Callable[[], nn.Module],
) -> None:
    model = make()
    layers = 1 if len(list(model.parameters())) < 5 else 2
    chosen = [
        (bare_patch(model, f"patch{seed}", seed=seed, bits=bits, layers=layers), 0.3 + seed / 7)
        for seed, bits in enumerate((32, 8, 3, 8))
    ]
    patches = PatchSet.of(chosen)
    variant = build_variant(CleanModel.of(model), patches, {p.digest: p for p, _ in chosen})
    wanted, found = reference_state(model, chosen), variant.state()
    for name in chosen[0][0].tensors:
        assert equal_bits(found[name], wanted[name]), name
    tied = {model.state_dict()[name].data_ptr() for name in variant.patched}
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in tied:
            assert equal_bits(found[name], tensor), name


def test_it_says_what_is_on_it() -> None:
    model = MODELS["vgg16"]()
    clean = CleanModel.of(model)
    patch = bare_patch(model, layers=2)
    patches = PatchSet.of([(patch, 0.5)])
    variant = build_variant(clean, patches, {patch.digest: patch})
    assert variant.patches == patches
    assert variant.names == {patch.digest: "fog"}
    assert variant.patched == tuple(sorted(patch.tensors))
    assert variant.digest == state_digest(identify(model.state_dict()).clean_weights, patches)
    assert variant.transferred == ()


def test_it_predicts_in_evaluation_mode_without_gradients() -> None:
    model = MODELS["resnet18 with BatchNorm"]().train()
    variant = build_variant(CleanModel.of(model), PatchSet(), {})
    logits = variant(pixels())
    assert logits.is_inference()
    assert equal_bits(logits[:1], variant(pixels())[:1])
    with torch.inference_mode():
        assert equal_bits(logits, model.eval()(pixels()))


def test_the_clean_model_is_a_copy() -> None:
    model = MODELS["two convolutions"]()
    clean = CleanModel.of(model)
    before = build_variant(clean, PatchSet(), {})(pixels())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    model.train()
    assert equal_bits(build_variant(clean, PatchSet(), {})(pixels()), before)


def test_its_state_shares_the_memory_of_the_module() -> None:
    clean = CleanModel.of(MODELS["two convolutions"]())
    module = clean.module.state_dict()
    assert all(module[name].data_ptr() == t.data_ptr() for name, t in clean.state.items())
    assert not any(p.requires_grad for p in clean.module.parameters())


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(number: float) -> None:
    model = MODELS["resnet18 with BatchNorm"]()
    model.state_dict()["network.bn1.running_var"][0] = number
    with pytest.raises(TensorError, match=r"network\.bn1\.running_var"):
        CleanModel.of(model)


def test_weights_of_another_dtype_are_refused() -> None:
    with pytest.raises(TensorError, match=r"torch\.float64; expected float32"):
        CleanModel.of(MODELS["two convolutions"]().double())


def test_a_sum_beyond_float32_is_refused_and_named() -> None:
    model = MODELS["two convolutions"]()
    patch = bare_patch(model, scale=1e38, names=["conv1.weight"])
    other = bare_patch(model, "snow", scale=1e38, names=["conv1.weight"])
    patches = PatchSet.of([(patch, 2.0), (other, 2.0)])
    with pytest.raises(TensorError, match=r"conv1\.weight"):
        build_variant(CleanModel.of(model), patches, {p.digest: p for p in (patch, other)})


def test_gradients_go_through_it_whoever_built_it() -> None:
    model = MODELS["two convolutions"]()
    patch = bare_patch(model)
    clean = CleanModel.of(model)
    with torch.inference_mode():
        variant = build_variant(clean, PatchSet.of([(patch, 0.5)]), {patch.digest: patch})
        variant(pixels())
    images = (pixels().float() / 255).requires_grad_()
    variant.module(images).sum().backward()
    assert images.grad is not None
    assert bool(images.grad.abs().sum() > 0)
