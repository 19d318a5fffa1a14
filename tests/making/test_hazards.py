"""Accuracy under a hazard is what its parts, used by hand, say."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from rwsstore.attacks import Apgd, Attack, Fgsm, Pgd
from rwsstore.data import ImageSet
from rwsstore.making import KINDS, Hazard
from rwsstore.making.hazards import hazard_for
from rwsstore.measure import accuracy, correctness
from rwsstore.probes.bitflips import StoredWeights, sample_sites
from rwsstore.probes.parameter_corruption import Constraint, Sample, loss_gradient
from rwsstore.training import WEIGHT_RECIPES, CorruptionResistantRecipe
from tests.making.tiny import VALIDATION, clean_model, fresh, options, recipes
from tests.training.tiny import same


def hazard(kind: str, **fields: object) -> Hazard:
    return hazard_for(recipes()[kind], options(**fields))


def test_every_weight_recipe_has_a_hazard() -> None:
    for name, recipe in WEIGHT_RECIPES.items():
        assert recipe.kind in KINDS, name
        found = hazard_for(recipe(), options())
        assert found.attack
        assert found.budget is not None
        assert found.budget > 0


@pytest.mark.parametrize(
    ("kind", "attack", "budget"),
    [
        ("corruption_resistant", "parameter_corruption_l2", 0.25),
        ("hessian_aware", "bit_flip_exponent", 1.0),
        ("selective", "fgsm_linf", 0.02),
        ("clat", "pgd20_apgd100_linf", 0.05),
    ],
)
def test_what_a_patch_says_that_it_is_for(kind: str, attack: str, budget: float) -> None:
    found = hazard(kind)
    assert (found.attack, found.budget) == (attack, budget)


@pytest.mark.parametrize(
    ("settings", "attack"),
    [
        ({"p": "inf"}, "parameter_corruption_linf"),
        ({"p": 1.5, "n": 100}, "parameter_corruption_l1.5_n100"),
    ],
)
def test_norm_and_number_are_part_of_the_name(settings: dict[str, object], attack: str) -> None:
    recipe = CorruptionResistantRecipe.configured(settings)
    assert hazard_for(recipe, options()).attack == attack


@pytest.mark.parametrize("kind", ["corruption_resistant", "selective", "clat"])
def test_the_card_may_have_a_budget_of_its_own(kind: str) -> None:
    strong = hazard(kind, card_budget=0.5)
    assert strong.budget == 0.5
    weak = hazard(kind, card_budget=1e-6)
    plain = accuracy(clean_model(), VALIDATION.images, VALIDATION.labels)
    assert weak.on(VALIDATION, 0)(clean_model()) == plain
    assert strong.on(VALIDATION, 0)(clean_model()) < plain


def test_corruption_is_a_step_along_the_gradient() -> None:
    model, found = clean_model(), hazard("corruption_resistant")
    sample = Sample.of(model, VALIDATION.images, VALIDATION.labels)
    gradient = loss_gradient(model, sample).tensors
    length = math.sqrt(sum(float(part.square().sum()) for part in gradient.values()))
    constraint = Constraint(0.25)
    moved = fresh()
    moved.load_state_dict(model.state_dict())
    with torch.no_grad():
        for name, parameter in moved.named_parameters():
            parameter.add_((constraint.epsilon / length * gradient[name]).float())
    expected = accuracy(moved, VALIDATION.images, VALIDATION.labels)
    assert found.on(VALIDATION, 0)(model) == pytest.approx(expected)
    assert expected < accuracy(model, VALIDATION.images, VALIDATION.labels)


def test_flips_are_averaged() -> None:
    model, found = clean_model(), hazard("hessian_aware")
    memory = StoredWeights(model)
    sites = sample_sites(memory, 6, bits="top", seed=3)
    assert set(sites.bit.tolist()) == {30}
    accuracies = []
    for array, index in zip(sites.array.tolist(), sites.index.tolist(), strict=True):
        damaged = fresh()
        damaged.load_state_dict(model.state_dict())
        weights = damaged.get_parameter(memory.arrays[array].parameter).data
        weights.view(torch.int32).view(-1)[index] ^= 1 << 30
        accuracies.append(accuracy(damaged, VALIDATION.images, VALIDATION.labels))
    assert found.on(VALIDATION, 3)(model) == pytest.approx(sum(accuracies) / 6)
    assert len(set(accuracies)) > 1
    assert found.recorded == {"card.flips": 6}


def test_flips_take_nothing_from_a_model_that_only_guesses() -> None:
    model = fresh()
    nn.init.zeros_(model.fc.weight)
    found = hazard("hessian_aware").on(VALIDATION, 0)(model)
    assert found == pytest.approx(100 / 3)


def test_fgsm_is_made_on_the_model_itself() -> None:
    model = clean_model()
    attacked = Fgsm(0.15).perturb(model, VALIDATION.images, VALIDATION.labels)
    expected = accuracy(model, attacked, VALIDATION.labels)
    assert hazard("selective", card_budget=0.15).on(VALIDATION, 0)(model) == expected
    assert expected < accuracy(model, VALIDATION.images, VALIDATION.labels)


def standing(attack: Attack, images: ImageSet, seed: int) -> torch.Tensor:
    """Which images the model still gets right, attacked all together."""
    found = attack.perturb(clean_model(), images.images, images.labels, seed=seed)
    return correctness(clean_model(), found, images.labels)


def test_adversarial_accuracy_is_the_worst_case_of_two_attacks_image_by_image() -> None:
    epsilon = 0.06
    measured = hazard("clat", card_budget=epsilon)
    for seed in (0, 1):
        one = standing(Pgd(epsilon, steps=20), VALIDATION, seed)
        other = standing(Apgd(epsilon, steps=100), VALIDATION, seed)
        wanted = 100 * float((one & other).double().mean())
        assert measured.on(VALIDATION, seed)(clean_model()) == pytest.approx(wanted)


def test_the_second_attack_is_tried_on_what_the_first_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = list[tuple[Attack, list[int]]]()

    def noted(kind: type[Attack]) -> None:
        perturb = kind.perturb

        def noting(self: Attack, *arguments: Any, **options: Any) -> torch.Tensor:
            tried.append((self, options["indices"].tolist()))
            return perturb(self, *arguments, **options)

        monkeypatch.setattr(kind, "perturb", noting)

    for kind in (Pgd, Apgd):
        noted(kind)
    hazard("clat", card_budget=0.09).on(VALIDATION, 0)(clean_model())
    (first, everything), (second, rest) = tried
    assert (first, second) == (Pgd(0.09, steps=20), Apgd(0.09, steps=100))
    assert everything == list(range(18))
    assert 0 < len(rest) < 18
    tried.clear()
    assert hazard("clat", card_budget=0.9).on(VALIDATION, 0)(clean_model()) == 0
    assert [type(attack) for attack, _ in tried] == [Pgd]


@pytest.mark.parametrize("kind", ["corruption_resistant", "hessian_aware", "selective", "clat"])
def test_the_model_is_left_as_it_is(kind: str) -> None:
    model = fresh()
    model.load_state_dict(clean_model().state_dict())
    flags = [parameter.requires_grad for parameter in model.parameters()]
    state = torch.random.get_rng_state()
    hazard(kind).on(VALIDATION, 0)(model)
    assert same(model, clean_model())
    assert [parameter.requires_grad for parameter in model.parameters()] == flags
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.training
    assert torch.equal(torch.random.get_rng_state(), state)
