"""PGD-AT, Fast-AT and TRADES against single steps that are written down once more."""

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rwsstore.attacks import Pgd
from rwsstore.cpu import ComputeMode
from rwsstore.errors import ConfigError, TensorError
from rwsstore.measure import accuracy
from rwsstore.training import (
    CONFIGURED_RECIPES,
    RECIPES,
    WEIGHT_RECIPES,
    CleanRecipe,
    ConfiguredRecipe,
    FastAtRecipe,
    PgdAtRecipe,
    TradesRecipe,
    fit,
)
from tests.training.robust import (
    LABELS,
    TRAIN,
    UNITS,
    VALIDATION,
    assert_close,
    climb,
    cross_entropy,
    gradients,
    made,
    residual,
    watched,
)
from tests.training.tiny import changed, config, same

NAMES = ("pgd_at", "fast_at", "trades")
IMAGES = TRAIN.images[:12]


def step(recipe: ConfiguredRecipe, model: nn.Module, smoothing: float = 0.0) -> Tensor:
    recipe.begin_epoch(model, TRAIN, 1, 5)
    return recipe.loss(model.train(), IMAGES, LABELS, smoothing)


def moved_from(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """How far predictions are from those of the clean images, as Σ p·(log p − log q)."""
    with torch.no_grad():
        before = model(UNITS).softmax(1)

    def moved(images: Tensor) -> Tensor:
        after: Tensor = model(images).softmax(1)
        return torch.sum(before * (before.log() - after.log()))

    return moved


def trades_by_hand(model: nn.Module, beta: float, **attack: Any) -> Tensor:
    attacked = climb(moved_from(model), UNITS, **attack)
    clean: Tensor = model(UNITS)
    first, second = clean.softmax(1), model(attacked).softmax(1)
    away: Tensor = (first * (first.log() - second.log())).sum(1).mean()
    return F.cross_entropy(clean, LABELS) + beta * away


@pytest.mark.parametrize(("batch_norm", "smoothing"), [(False, 0.2), (True, 0.0)])
def test_a_step_of_pgd_at(batch_norm: bool, smoothing: float) -> None:
    model = residual(batch_norm=batch_norm)
    plain, buffers = copy.deepcopy(model).train(), dict(copy.deepcopy(model).named_buffers())
    recipe = made("pgd_at", epsilon=0.06, steps=3, step_size=0.025)
    loss = step(recipe, model, smoothing)
    attacked = climb(cross_entropy(plain), UNITS, epsilon=0.06, size=0.025, steps=3, seed=5)
    for name, buffer in plain.named_buffers():  # what the attack counted is taken back
        buffer.copy_(buffers[name])
    wanted = F.cross_entropy(plain(attacked), LABELS, label_smoothing=smoothing)
    torch.testing.assert_close(loss, wanted)
    assert_close(gradients(model, loss), gradients(plain, wanted))
    for name, buffer in model.named_buffers():
        torch.testing.assert_close(buffer, plain.get_buffer(name), msg=name)
    if batch_norm:
        assert int(model.get_buffer("norm.num_batches_tracked")) == 1


def test_a_step_of_fast_at_is_a_single_one() -> None:
    model = residual()
    loss = step(made("fast_at", epsilon=0.06), model)
    attacked = climb(cross_entropy(model), UNITS, epsilon=0.06, size=0.075, steps=1, seed=5)
    torch.testing.assert_close(loss, F.cross_entropy(model(attacked), LABELS))
    other = step(made("fast_at", epsilon=0.06, step_size=0.01), model)
    attacked = climb(cross_entropy(model), UNITS, epsilon=0.06, size=0.01, steps=1, seed=5)
    torch.testing.assert_close(other, F.cross_entropy(model(attacked), LABELS))


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_step_of_trades(batch_norm: bool) -> None:
    model = residual(batch_norm=batch_norm)
    plain = copy.deepcopy(model).train()
    loss = step(made("trades", epsilon=0.06, steps=3, step_size=0.025, beta=2.5), model)
    wanted = trades_by_hand(plain, 2.5, epsilon=0.06, size=0.025, steps=3, seed=5)
    torch.testing.assert_close(loss, wanted, rtol=1e-4, atol=1e-6)
    assert_close(gradients(model, loss), gradients(plain, wanted))
    if batch_norm:  # the clean batch and the attacked one, not those on the way
        assert int(model.get_buffer("norm.num_batches_tracked")) == 2


def test_without_a_step_size_it_is_two_and_a_half_budgets_over_the_steps() -> None:
    model = residual()
    loss = step(made("pgd_at", epsilon=0.06, steps=3, step_size=None), model)
    attacked = climb(cross_entropy(model), UNITS, epsilon=0.06, size=0.05, steps=3, seed=5)
    torch.testing.assert_close(loss, F.cross_entropy(model(attacked), LABELS))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("epsilon", [0.02, 0.2])
def test_what_the_network_is_shown_is_in_the_budget_and_harder(name: str, epsilon: float) -> None:
    model = residual(1)
    with watched(model) as seen:
        step(made(name, epsilon=epsilon), model)
    attacked = seen[-1]
    assert float((attacked - UNITS).abs().max()) <= epsilon + 1e-6
    assert 0 <= float(attacked.min()) <= float(attacked.max()) <= 1
    raised = moved_from(model) if name == "trades" else cross_entropy(model)
    start = climb(raised, UNITS, epsilon=epsilon, size=0, steps=0, seed=5)
    with torch.no_grad():
        assert raised(attacked) > raised(start)
        assert raised(attacked) > raised(UNITS)


@pytest.mark.parametrize("name", NAMES)
def test_the_attack_leaves_no_trace(name: str) -> None:
    model = residual(batch_norm=True)
    before = copy.deepcopy(model)
    step(made(name), model)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    statistics = {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"}
    assert changed(model, before) == statistics
    assert all(module.training for module in model.modules())


def test_starts_are_drawn_anew_in_each_step_and_by_the_epochs_seed() -> None:
    model, recipe = residual(), made("pgd_at", steps=1)

    def losses(seed: int) -> list[float]:
        recipe.begin_epoch(model, TRAIN, 1, seed)
        return [recipe.loss(model, IMAGES, LABELS, 0.0).item() for _ in range(2)]

    first, second = losses(1)
    assert first != second
    assert losses(1) == [first, second] != losses(2)


def test_trades_tells_both_terms_over_batches_of_unequal_size() -> None:
    recipe = made("trades", steps=2, beta=3.0)
    record = fit(residual(), recipe, TRAIN, VALIDATION, config(1, batch_size=10)).best
    assert set(record.terms) == {"cross_entropy", "divergence"}
    assert record.terms["divergence"] > 0
    whole = record.terms["cross_entropy"] + 3.0 * record.terms["divergence"]
    assert record.loss == pytest.approx(whole, rel=1e-5)
    assert not fit(residual(), made("pgd_at"), TRAIN, VALIDATION, config(1)).best.terms


@cache
def clean_model() -> nn.Module:
    return fit(residual(), CleanRecipe(), TRAIN, VALIDATION, config(12, learning_rate=0.1)).model


@pytest.mark.parametrize("name", NAMES)
def test_it_makes_a_model_harder_to_fool(name: str) -> None:
    settings = {"epsilon": 0.08, **({} if name == "fast_at" else {"steps": 4, "step_size": None})}
    trained = fit(clean_model(), made(name, **settings), TRAIN, VALIDATION, config(8)).model
    standing = []
    for model in (clean_model(), trained):
        attacked = Pgd(0.08, steps=20).perturb(model, TRAIN.images, TRAIN.labels)
        standing.append(accuracy(model, attacked, TRAIN.labels))
    assert standing[1] > standing[0] + 10


@pytest.mark.parametrize("name", NAMES)
def test_in_bfloat16_too_everything_trains(name: str) -> None:
    model, mode = residual(), ComputeMode(bf16=True, channels_last=True)
    result = fit(model, made(name), TRAIN, VALIDATION, config(1), mode=mode)
    assert changed(model, result.model) == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize("name", ["pgd_at", "fast_at"])
@pytest.mark.parametrize(
    "settings",
    [
        {"epsilon": 0}, {"epsilon": -0.1}, {"epsilon": 1.5}, {"epsilon": float("nan")},
        {"steps": 0}, {"step_size": 0}, {"judged": -1}, {"colour": 1},
    ],
    ids=str,
)  # fmt: skip
def test_settings_out_of_range(name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"recipe {name}: {next(iter(settings))}"):
        made(name, **settings)


def test_fast_at_has_one_step_and_trades_no_negative_weight() -> None:
    with pytest.raises(ConfigError, match="recipe fast_at: steps"):
        made("fast_at", steps=2)
    with pytest.raises(ConfigError, match="recipe trades: beta"):
        made("trades", beta=-1)


@pytest.mark.parametrize("name", NAMES)
def test_weights_that_are_not_finite_are_refused(name: str) -> None:
    model = residual()
    with torch.no_grad():
        model.stem.weight[0] = float("nan")
    before = copy.deepcopy(model)
    with pytest.raises(TensorError):
        fit(model, made(name), TRAIN, VALIDATION, config(1))
    assert torch.equal(model.fc.weight, before.fc.weight)


def test_rows_of_the_registries() -> None:
    for recipe in (PgdAtRecipe, FastAtRecipe, TradesRecipe):
        assert RECIPES[recipe.name] is CONFIGURED_RECIPES[recipe.name] is recipe
        assert recipe.name not in WEIGHT_RECIPES
        assert not recipe.freeze_batchnorm


def test_the_same_run_gives_the_same_weights() -> None:
    runs = [fit(residual(), made("trades"), TRAIN, VALIDATION, config(1)).model for _ in range(2)]
    assert same(*runs)
