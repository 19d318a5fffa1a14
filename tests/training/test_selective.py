"""Training of robust and antifragile layers only."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from rwsstore.errors import ConfigError
from rwsstore.probes import filtering as module
from rwsstore.probes.filtering import (
    FilteringCurves,
    FilteringOptions,
    ScoringOptions,
    measure_curves,
    parameters_of,
    score_layers,
)
from rwsstore.training import (
    RECIPES,
    WEIGHT_RECIPES,
    SelectiveOptions,
    SelectiveRecipe,
    derive_seed,
    fit,
)
from tests.probes.filtering.making import trained
from tests.training.tiny import changed, config, pictures, same

TRAIN, VALIDATION = pictures(60, seed=7, strength=12), pictures(12, seed=8, strength=12)
EVERY = {name for name, _ in trained().named_parameters()} - {"unused.weight", "unused.bias"}


def recipe(**fields: Any) -> SelectiveRecipe:
    values = {"images": 30, "thresholds": 5, "attack_epsilon": 0.01, **fields}
    return SelectiveRecipe(SelectiveOptions.model_validate(values))


QUICK: dict[str, Any] = {"filters": ("h3",)}
"""For what is about when layers are scored."""


@cache
def first_curves() -> FilteringCurves:
    """What the first epoch of `recipe` measures, by the library's own function."""
    images = TRAIN.limit(30, derive_seed(0, "recipe", 1))
    options = FilteringOptions(epsilon=0.01, thresholds=5)
    return measure_curves(trained(), images.images, images.labels, options)


def by_hand(*kinds: str) -> set[str]:
    """The parameters of the layers of these kinds in the first epoch."""
    curves = first_curves()
    owned = parameters_of(trained(), curves.layers)
    scores = score_layers(curves, ScoringOptions())
    return {name for layer in scores if layer.kind in kinds for name in owned[layer.layer]}


def test_the_others_stay_as_they_are_to_the_bit() -> None:
    model = trained()
    result = fit(model, recipe(), TRAIN, VALIDATION, config(1))
    expected = by_hand("robust", "antifragile")
    assert changed(model, result.model) == expected
    assert 0 < len(expected) < len(EVERY)


def test_the_fragile_ones_instead() -> None:
    model = trained()
    result = fit(model, recipe(train=("fragile",)), TRAIN, VALIDATION, config(1))
    assert changed(model, result.model) == by_hand("fragile")


def test_within_chosen_layers() -> None:
    model = trained()
    result = fit(model, recipe(layers=("head",)), TRAIN, VALIDATION, config(1))
    assert changed(model, result.model) == {"head.weight", "head.bias"}


@pytest.fixture
def scorings(monkeypatch: pytest.MonkeyPatch) -> list[frozenset[str]]:
    """What is chosen, scoring by scoring; every second time nothing but the head is."""
    chosen = list[frozenset[str]]()
    score = score_layers

    def noted(curves: Any, options: Any) -> Any:
        scores = score(curves, options)
        if len(chosen) % 2:
            scores = tuple(layer for layer in scores if layer.layer == "head")
        chosen.append(frozenset(layer.layer for layer in scores if layer.kind != "fragile"))
        return scores

    monkeypatch.setattr(module, "score_layers", noted)
    return chosen


@pytest.mark.parametrize(("every", "times"), [(3, 2), (9, 1)])
def test_scored_again_every_so_many_epochs(
    scorings: list[frozenset[str]], every: int, times: int
) -> None:
    fit(trained(), recipe(every=every, **QUICK), TRAIN, VALIDATION, config(4))
    assert len(scorings) == times
    if times > 1:
        assert scorings[1] == {"head"} != scorings[0]


@pytest.mark.parametrize("stop", [2, 3])
def test_an_interrupted_run_goes_on_to_the_same_end(
    scorings: list[frozenset[str]], tmp_path: Path, stop: int
) -> None:
    whole = fit(trained(), recipe(**QUICK), TRAIN, VALIDATION, config(4))
    scorings.clear()
    state = tmp_path / "run.state"
    arguments: tuple[Any, ...] = (TRAIN, VALIDATION, config(4))
    fit(trained(), recipe(**QUICK), *arguments, state_file=state, stop_after=stop)
    resumed = fit(trained(), recipe(**QUICK), *arguments, state_file=state)
    assert same(whole.model, resumed.model)
    assert whole.history == resumed.history
    assert len(scorings) == 2


def test_another_run_with_the_same_recipe_begins_anew(scorings: list[frozenset[str]]) -> None:
    used = recipe(every=9, **QUICK)
    for _ in range(2):
        fit(trained(), used, TRAIN, VALIDATION, config(1))
    assert len(scorings) == 2


def test_nothing_to_train() -> None:
    model = trained()
    with pytest.raises(ConfigError, match="no antifragile layer to train in epoch 1: of S2 over"):
        fit(model, recipe(train=("antifragile",), tolerance=5), TRAIN, VALIDATION, config(1))
    assert same(model, trained())


def test_nothing_that_is_defined() -> None:
    model = trained()
    with torch.no_grad():
        model.head.weight.zero_()
    with pytest.raises(ConfigError, match="no better than chance"):
        fit(model, recipe(), TRAIN, VALIDATION, config(1))


@pytest.mark.parametrize(
    "fields",
    [
        {"thresholds": 12},
        {"thresholds": 1},
        {"every": 0},
        {"images": 0},
        {"filters": ()},
        {"filters": ("h1", "h1")},
        {"filters": ("h4",)},
        {"train": ()},
        {"train": ("weak",)},
        {"score": "s4"},
        {"tolerance": -1},
        {"attack_epsilon": 0},
        {"attack_epsilon": 2},
        {"epsilon": 1},
    ],
)
def test_options_out_of_range(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="recipe selective"):
        SelectiveRecipe.configured(fields)


def test_a_row_of_the_registries() -> None:
    assert RECIPES["selective"] is WEIGHT_RECIPES["selective"] is SelectiveRecipe
    assert SelectiveRecipe.kind == "selective"
    assert SelectiveRecipe().options()["every"] == 2
