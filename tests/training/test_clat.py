"""CLAT's loss against equation 9 with hooks by hand, and what is refused."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rwsstore.cpu import ComputeMode
from rwsstore.errors import ConfigError
from rwsstore.probes.criticality import CriticalityOptions, measure_criticality
from rwsstore.training import (
    RECIPES,
    WEIGHT_RECIPES,
    ClatOptions,
    ClatRecipe,
    TrainingConfig,
    derive_seed,
    fit,
)
from tests.training.robust import (
    CONVOLUTIONS,
    LABELS,
    TRAIN,
    UNITS,
    VALIDATION,
    assert_close,
    climb,
    cross_entropy,
    gradients,
    residual,
    watched,
)
from tests.training.tiny import changed, classifier, config, pictures, same

IMAGES = TRAIN.images[:12]


def clat(**settings: Any) -> ClatRecipe:
    return ClatRecipe.configured({"images": 12, **settings})


def step(recipe: ClatRecipe, model: nn.Module, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """One step's loss, and the images that it was attacked with."""
    recipe.trainable(model)
    recipe.begin_epoch(model, TRAIN, 1, 5)
    model.train()
    with watched(model) as seen:
        loss = recipe.loss(model, IMAGES, LABELS, smoothing)
    clean, attacked = seen[-1].chunk(2)
    assert torch.equal(clean, UNITS)
    return loss, attacked


def features(model: nn.Module, layers: tuple[str, ...], images: Tensor) -> list[Tensor]:
    """What convolutions give out, caught by hooks."""
    found = list[Tensor]()
    hooks = [
        model.get_submodule(layer).register_forward_hook(lambda _m, _i, out: found.append(out))
        for layer in layers
    ]
    model(images)
    for hook in hooks:
        hook.remove()
    return found


def apart(model: nn.Module, layers: tuple[str, ...], clean: Tensor, changed: Tensor) -> Tensor:
    """Σ over layers of ‖F(x + δ) − F(x)‖₂ of each image."""
    before, after = (features(model, layers, images) for images in (clean, changed))
    return torch.stack(
        [(a - b).flatten(1).norm(dim=1) for a, b in zip(after, before, strict=True)]
    ).sum(0)


def in_order(recipe: ClatRecipe) -> tuple[str, ...]:
    """The layers selected last, as the forward pass meets them."""
    chosen = recipe.selections[-1].layers
    return tuple(layer for layer in CONVOLUTIONS if layer in chosen)


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_equation_9(k: int, smoothing: float) -> None:
    model, recipe = residual(), clat(k=k, strength=0.3)
    loss, attacked = step(recipe, model, smoothing)
    layers = in_order(recipe)
    assert len(layers) == k
    moved = apart(model, layers, UNITS, attacked).mean()
    wanted = F.cross_entropy(model(UNITS), LABELS, label_smoothing=smoothing) + 0.3 * moved
    torch.testing.assert_close(loss, wanted)
    assert_close(gradients(model, loss), gradients(model, wanted))
    terms = recipe.terms()
    assert terms["features"] == pytest.approx(moved.item(), rel=1e-5)
    assert loss.item() == pytest.approx(terms["cross_entropy"] + 0.3 * terms["features"], rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "size", "steps"),
    [
        ({"steps": 3, "step_size": 0.025}, 0.025, 3),
        ({"steps": 4, "step_size": None}, 2.5 * 0.06 / 4, 4),
        ({"steps": 3, "fast": True}, 1.25 * 0.06, 1),
    ],
    ids=["steps", "default", "fast"],
)
@pytest.mark.parametrize("inner", ["features", "loss"])
def test_the_attack_is_projected_ascent(
    inner: str, settings: dict[str, Any], size: float, steps: int
) -> None:
    model, recipe = residual(), clat(k=2, epsilon=0.06, inner=inner, **settings)
    _, attacked = step(recipe, model)
    layers = in_order(recipe)
    raised = cross_entropy(model)
    if inner == "features":
        still = [output.detach() for output in features(model, layers, UNITS)]

        def raised(images: Tensor) -> Tensor:
            now = features(model, layers, images)
            lengths = [(a - b).flatten(1).norm(dim=1) for a, b in zip(now, still, strict=True)]
            return torch.stack(lengths).sum()

    wanted = climb(raised, UNITS, epsilon=0.06, size=size, steps=steps, seed=5)
    torch.testing.assert_close(attacked, wanted, rtol=0, atol=1e-6)
    start = climb(raised, UNITS, epsilon=0.06, size=0, steps=0, seed=5)
    assert float((attacked - UNITS).abs().max()) <= 0.06 + 1e-6
    assert 0 <= float(attacked.min()) <= float(attacked.max()) <= 1
    assert raised(attacked).item() > raised(start).item()


@pytest.mark.parametrize("perturbed", [0.25, 1.0])
def test_some_of_the_cross_entropy_may_be_that_of_attacked_images(perturbed: float) -> None:
    model, recipe = residual(), clat(k=1, strength=0.0, perturbed=perturbed)
    loss, attacked = step(recipe, model)
    clean, there = (F.cross_entropy(model(images), LABELS) for images in (UNITS, attacked))
    torch.testing.assert_close(loss, (1 - perturbed) * clean + perturbed * there)


def test_without_strength_and_attack_it_is_plain_training() -> None:
    model = residual()
    loss, _ = step(clat(strength=0.0), model)
    assert_close(gradients(model, loss), gradients(model, F.cross_entropy(model(UNITS), LABELS)))


def test_it_selects_what_criticality_says() -> None:
    model, recipe = residual(1), clat(k=2, epsilon=0.06, steps=4, step_size=0.02)
    fit(model, recipe, TRAIN, VALIDATION, config(1))
    seed = derive_seed(0, "recipe", 1)
    sample = TRAIN.limit(12, seed)
    options = CriticalityOptions(epsilon=0.06, steps=4, step_size=0.02)
    found = measure_criticality(model, sample.images, sample.labels, options, seed=seed)
    (selection,) = recipe.selections
    assert (selection.step, selection.layers) == (0, found.top(2))


@pytest.mark.parametrize("select", ["critical", "random"])
def test_a_twentieth_of_the_layers_by_default(select: str) -> None:
    model = classifier("resnet32", size=8).eval()
    small = pictures(6, size=8)
    recipe = clat(select=select, steps=1, images=6)
    recipe.trainable(model)
    recipe.begin_epoch(model, small, 1, 0)
    assert len(recipe.selections[-1].layers) == 2  # of 31
    inside = clat(select=select, steps=1, images=6, layers=("network.layer1.0",))
    inside.trainable(model)
    inside.begin_epoch(model, small, 1, 0)
    wanted = {"network.layer1.0.conv1", "network.layer1.0.conv2"}
    assert set(inside.selections[-1].layers) == wanted


def test_shortcuts_and_the_head_never_train() -> None:
    names = clat().trainable(residual())
    assert names == {f"{layer}.{kind}" for layer in CONVOLUTIONS for kind in ("weight", "bias")}
    assert clat(layers=("stem",)).trainable(residual()) == {"stem.weight", "stem.bias"}
    assert clat().trainable(residual(batch_norm=True)) == names - {"stem.bias"}


@pytest.mark.parametrize("network", ["vgg16", "resnet18"])
def test_networks_with_batchnorm_left_in_keep_their_statistics(network: str) -> None:
    model, images = classifier(network), pictures(12, size=16)
    before, recipe = copy.deepcopy(model), clat(k=2, steps=1)
    result = fit(model, recipe, images, images, config(1))
    assert same(model, before)
    assert changed(model, result.model) == {f"{x}.weight" for x in recipe.selections[0].layers}


def test_in_bfloat16_the_selected_layers_train() -> None:
    model, recipe = residual(), clat(k=2, every_steps=2)
    mode = ComputeMode(bf16=True, channels_last=True)
    result = fit(model, recipe, TRAIN, VALIDATION, config(1), mode=mode)
    layers = {layer for one in recipe.selections for layer in one.layers}
    assert changed(model, result.model) == {f"{x}.{k}" for x in layers for k in ("weight", "bias")}


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        (residual(), {"k": 4}, "k is 4; the model has 3 convolutions"),
        (residual(), {"k": 2, "layers": ("stem",)}, "k is 2; the model has 1 convolutions"),
        (residual(), {"layers": ("fc",)}, "none of the layers fc .* these are stem, first"),
        (residual(), {"layers": ("nothing",)}, "expected some of"),
        (nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), {}, "no Conv2d"),
    ],
)
def test_refused_before_anything_is_trained(
    model: nn.Module, settings: dict[str, Any], message: str
) -> None:
    class Untouched(ClatRecipe):
        def begin_epoch(self, *_: Any) -> None:
            raise AssertionError("a training has begun")

    before = copy.deepcopy(model)
    recipe = Untouched.configured({"images": 12, **settings})
    with pytest.raises(ConfigError, match=message):
        fit(model, recipe, TRAIN, VALIDATION, config(1))
    assert same(model, before)


@pytest.mark.parametrize(
    "settings",
    [
        {"epsilon": 0}, {"epsilon": -1}, {"strength": -0.1}, {"strength": float("inf")}, {"k": 0},
        {"every": 0}, {"every_steps": 0}, {"select": "worst"}, {"images": 0}, {"perturbed": 1.1},
        {"inner": "both"}, {"fast": "maybe"}, {"lambda": 1},
    ],
    ids=str,
)  # fmt: skip
def test_settings_out_of_range(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"recipe clat: {next(iter(settings))}"):
        ClatRecipe.configured(settings)


def test_a_row_of_the_registries() -> None:
    assert RECIPES["clat"] is WEIGHT_RECIPES["clat"] is ClatRecipe
    assert ClatRecipe.kind == "clat"
    defaults = ClatOptions()
    assert (defaults.epsilon, defaults.steps, defaults.step_size) == (0.03, 10, 0.007)
    assert (defaults.every, defaults.perturbed, defaults.inner) == (10, 0, "features")
    assert isinstance(ClatRecipe.defaults, TrainingConfig)
