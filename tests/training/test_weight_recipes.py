"""Recipes that step beside the weights: what a step is, and what it leaves alone."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rwsstore.errors import ConfigError, TensorError
from rwsstore.models import ordered_layers
from rwsstore.training import (
    WEIGHT_RECIPES,
    CorruptionResistantOptions,
    CorruptionResistantRecipe,
    HessianAwareOptions,
    HessianAwareRecipe,
    Recipe,
    RecipeOptions,
    SharpnessAwareOptions,
    SharpnessAwareRecipe,
    WeightRecipe,
    fit,
)
from tests.training.tiny import changed, classifier, config, pictures, same, two_convs

IMAGES = pictures(12)
STEPPING = (CorruptionResistantRecipe, HessianAwareRecipe)
"""Those that need no trained model to begin with."""


def gradient(recipe: Recipe, model: nn.Module, epoch: int = 1) -> dict[str, Tensor]:
    """What a recipe leaves on a copy of the model."""
    stepped = copy.deepcopy(model).train()
    recipe.begin_epoch(stepped, IMAGES, epoch, 0)
    recipe.descend(stepped, IMAGES.images, IMAGES.labels, 0.0)
    assert same(stepped, model)
    return {n: p.grad for n, p in stepped.named_parameters() if p.grad is not None}


def plain_gradient(model: nn.Module, offsets: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The gradient of the cross-entropy, written down once more."""
    moved = copy.deepcopy(model).train()
    with torch.no_grad():
        for name, offset in (offsets or {}).items():
            moved.get_parameter(name).add_(offset)
    named = dict(moved.named_parameters())
    loss = F.cross_entropy(moved(IMAGES.images), IMAGES.labels)
    return dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))


def norm(tensors: dict[str, Tensor]) -> float:
    return math.sqrt(sum(float(t.double().square().sum()) for t in tensors.values()))


def test_another_run_with_the_same_recipe_begins_anew() -> None:
    used, model = HessianAwareRecipe(HessianAwareOptions(strength=0.1, threshold=2)), two_convs()
    first = gradient(used, model)
    used.restore({"mean_trace": 1e9})
    again = gradient(used, model)
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize("rho", [0.05, 0.7])
def test_all_weight_on_the_corrupted_loss_is_a_step_of_sam(rho: float) -> None:
    model = two_convs()
    here = plain_gradient(model)
    wanted = plain_gradient(model, {n: g * (rho / norm(here)) for n, g in here.items()})
    options = CorruptionResistantOptions(epsilon=rho, weight=1.0)
    for recipe in (
        CorruptionResistantRecipe(options),
        SharpnessAwareRecipe(SharpnessAwareOptions(rho=rho)),
    ):
        found = gradient(recipe, model)
        assert all(torch.allclose(found[n], wanted[n], atol=1e-6) for n in wanted)


def test_the_weight_mixes_both_gradients_and_losses() -> None:
    model = two_convs()
    here = plain_gradient(model)
    there = plain_gradient(model, {n: 0.3 * g.sign() for n, g in here.items()})
    options = CorruptionResistantOptions(epsilon=0.3, p="inf", weight=0.25)
    found = gradient(CorruptionResistantRecipe(options), model)
    for name, value in found.items():
        assert torch.allclose(value, 0.75 * here[name] + 0.25 * there[name], atol=1e-6)


def test_n_corrupts_so_many_parameters_of_all_together() -> None:
    model = two_convs()
    here = plain_gradient(model)
    flat = torch.cat([g.flatten() for g in here.values()])
    least = flat.abs().topk(3).values[-1]
    chosen = {n: g.sign() * (g.abs() >= least) * 0.4 for n, g in here.items()}
    wanted = plain_gradient(model, chosen)
    options = CorruptionResistantOptions(epsilon=0.4, p="inf", n=3, weight=1.0)
    found = gradient(CorruptionResistantRecipe(options), model)
    assert all(torch.allclose(found[n], wanted[n], atol=1e-6) for n in wanted)


@pytest.mark.parametrize(
    "recipe",
    [
        CorruptionResistantRecipe(CorruptionResistantOptions(epsilon=2.0, weight=1.0)),
        SharpnessAwareRecipe(SharpnessAwareOptions(rho=2.0)),
    ],
    ids=lambda recipe: recipe.name,
)
def test_the_second_look_is_at_the_moved_weights_in_bfloat16_too(recipe: Recipe) -> None:
    model = two_convs()
    wanted = gradient(recipe, model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = gradient(recipe, model)
    plain = plain_gradient(model)
    for name, value in wanted.items():
        assert (found[name] - value).norm() < 0.2 * (plain[name] - value).norm()


@pytest.mark.parametrize(
    "recipe",
    [
        CorruptionResistantRecipe(CorruptionResistantOptions(layers=("fc",))),
        HessianAwareRecipe(HessianAwareOptions(layers=("fc",), trace_layers=1)),
    ],
    ids=lambda recipe: recipe.name,
)
def test_chosen_layers_train_and_the_others_stay(recipe: WeightRecipe) -> None:
    model = two_convs()
    result = fit(model, recipe, IMAGES, pictures(12, seed=1), config(2))
    assert changed(model, result.model) == {"fc.weight", "fc.bias"}


@pytest.mark.parametrize("recipe", STEPPING, ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("network", ["resnet18"])
def test_they_train_networks_with_batchnorm_left_in(
    recipe: type[WeightRecipe], network: str
) -> None:
    model, images = classifier(network), pictures(24, size=16)
    before = copy.deepcopy(model)
    result = fit(model, recipe(), images, images, config(1))
    assert same(model, before)
    assert changed(model, result.model)
    # BatchNorm in evaluation mode: its statistics are the clean model's.
    assert not [name for name in changed(model, result.model) if "running" in name]


def test_the_second_look_does_not_count_in_batchnorm() -> None:
    model = two_convs(batch_norm=True)
    once, twice = copy.deepcopy(model).train(), copy.deepcopy(model).train()
    once(IMAGES.images)
    SharpnessAwareRecipe(SharpnessAwareOptions(rho=0.5)).descend(
        twice, IMAGES.images, IMAGES.labels, 0.0
    )
    for name, buffer in once.named_buffers():
        assert torch.equal(buffer, twice.get_buffer(name)), name


def test_the_trace_goes_down() -> None:
    model = two_convs()
    options = HessianAwareOptions(strength=0.5, trace_layers=None, share=1.0, draws=4, threshold=0)
    found = gradient(HessianAwareRecipe(options), model)
    plain = plain_gradient(model)
    assert any(not torch.allclose(found[name], plain[name]) for name in plain)


@pytest.mark.parametrize(("threshold", "added"), [(0.0, True), (1e9, False)])
def test_the_threshold_says_when_the_term_is_added(threshold: float, added: bool) -> None:
    model = two_convs()
    options = HessianAwareOptions(strength=0.5, trace_layers=2, threshold=threshold)
    recipe = HessianAwareRecipe(options)
    recipe.restore({"mean_trace": 1.0})
    found, plain = gradient(recipe, model, epoch=2), plain_gradient(model)
    differs = {name for name in plain if not torch.allclose(found[name], plain[name], atol=1e-7)}
    assert differs == ({"fc.weight", "fc.bias", "conv2.weight", "conv2.bias"} if added else set())
    assert recipe.state()["mean_trace"] != 1.0


def test_strength_zero_is_plain_training() -> None:
    model = two_convs()
    options = HessianAwareOptions(strength=0.0, trace_layers=2)
    found, plain = gradient(HessianAwareRecipe(options), model), plain_gradient(model)
    assert all(torch.equal(found[name], plain[name]) for name in plain)


@pytest.mark.parametrize("name", WEIGHT_RECIPES)
def test_settings_are_made_of_words_and_say_what_is_wrong(name: str) -> None:
    recipe = WEIGHT_RECIPES[name]
    layers = tuple(layer.name for layer in ordered_layers(two_convs()))
    assert recipe.configured({"layers": layers}).options()["layers"] == list(layers)
    with pytest.raises(ConfigError, match=f"recipe {name}: colour"):
        recipe.configured({"colour": 1})
    with pytest.raises(ConfigError, match=r"'conv9'.*|conv9.*expected some of conv1, conv2, fc"):
        recipe.configured({"layers": ("conv9",)}).trainable(two_convs())
    with pytest.raises(ConfigError, match="each once"):
        recipe.configured({"layers": ("fc", "fc")}).trainable(two_convs())


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("corruption_resistant", {"epsilon": 0}),
        ("corruption_resistant", {"epsilon": float("inf")}),
        ("corruption_resistant", {"p": 0.5}),
        ("corruption_resistant", {"n": 0}),
        ("corruption_resistant", {"weight": 0}),
        ("corruption_resistant", {"weight": 1.1}),
        ("hessian_aware", {"strength": -1}),
        ("hessian_aware", {"share": 0}),
        ("hessian_aware", {"draws": 0}),
        ("hessian_aware", {"layers": ()}),
    ],
)
def test_settings_out_of_range(name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"recipe {name}: {next(iter(settings))}"):
        WEIGHT_RECIPES[name].configured(settings)


def test_more_than_there_is() -> None:
    model = two_convs()
    too_many = CorruptionResistantOptions(n=10**6)
    with pytest.raises(ConfigError, match="n is 1000000"):
        gradient(CorruptionResistantRecipe(too_many), model)


def test_another_recipes_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="takes HessianAwareOptions, not RecipeOptions"):
        HessianAwareRecipe(RecipeOptions())


@pytest.mark.parametrize("recipe", STEPPING, ids=lambda recipe: recipe.name)
def test_gradients_that_are_not_finite(recipe: type[WeightRecipe]) -> None:
    model = two_convs()
    with torch.no_grad():
        model.fc.weight[0, 0] = float("nan")
    with pytest.raises(TensorError):
        fit(model, recipe(recipe.Options(layers=("fc",))), IMAGES, IMAGES, config(1))
