"""What each kind of patch is against, and how accuracy under it is measured: a row a kind."""

__all__ = ["HAZARDS", "Hazard", "hazard_for"]

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeVar

import torch
from torch import nn

from rwsstore.analysis.bitflips import StoredWeights, sample_sites, survey
from rwsstore.analysis.parameter_corruption import (
    Constraint,
    Sample,
    corrupted_copy,
    gradient_corruption,
    loss_gradient,
    measure,
)
from rwsstore.attacks import Apgd, Attack, Fgsm, Pgd
from rwsstore.data import ImageSet, unit_images
from rwsstore.errors import ConfigError
from rwsstore.evaluation.accuracy import accuracy, correctness
from rwsstore.making.options import DeltaOptions
from rwsstore.patches import Kind
from rwsstore.training import (
    ClatOptions,
    CorruptionResistantOptions,
    RecipeOptions,
    SelectiveOptions,
    WeightRecipe,
)


@dataclass(frozen=True)
class Hazard:
    """Something that takes a model's accuracy away.

    Attributes:
        attack: what a patch says that it is for.
        budget: ε of it, above 0.
        accuracy: measures it, in percent, of a model in evaluation mode that is left as it is, on
            labelled images, with a seed for what is drawn: the same for all that is compared. An
            image whose logits are not finite counts as wrong.
        recorded: what else defines it, for the patch's recipe.
    """

    attack: str
    budget: float
    accuracy: Callable[[nn.Module, ImageSet, int], float]
    recorded: Mapping[str, int] = field(default_factory=dict)


def hazard_for(recipe: WeightRecipe, options: DeltaOptions) -> Hazard:
    """What a recipe's patches are against, at the strength that their cards are measured at.

    Raises:
        ConfigError: the options ask for a budget that the hazard does not have, or one out of
            its range; or nothing is known of the recipe's kind.
    """
    if recipe.kind not in HAZARDS:
        known = ", ".join(HAZARDS)
        raise ConfigError(f"no hazard is known for patches of kind {recipe.kind}; for {known}")
    return HAZARDS[recipe.kind](recipe.settings, options)


def _corruption(settings: RecipeOptions, options: DeltaOptions) -> Hazard:
    """The gradient-based corruption of all parameters (Sun et al., AAAI 2021, equation 7)."""
    chosen = _settings(settings, CorruptionResistantOptions).constraint
    constraint = replace(chosen, epsilon=options.card_budget or chosen.epsilon)
    norm = "linf" if constraint.p == math.inf else f"l{constraint.p:g}"
    few = "" if constraint.n is None else f"_n{constraint.n}"
    return Hazard(
        attack=f"parameter_corruption_{norm}{few}",
        budget=constraint.epsilon,
        accuracy=lambda model, images, _seed: _corrupted(model, images, constraint),
    )


def _corrupted(model: nn.Module, images: ImageSet, constraint: Constraint) -> float:
    """Accuracy at w + â, the gradient taken at this model, on these very images."""
    sample = Sample.of(model, images.images, images.labels)
    gradient = loss_gradient(model, sample).tensors
    corruption = gradient_corruption(gradient, constraint)
    return measure(corrupted_copy(model, corruption), sample).accuracy


def _bit_flip(_settings: RecipeOptions, options: DeltaOptions) -> Hazard:
    """One flipped bit: the exponent's highest, of any of the float32 parameters."""
    if options.card_budget is not None:
        raise ConfigError("card_budget is for other hazards: of bits, one at a time is flipped")
    return Hazard(
        attack="bit_flip_exponent",
        budget=1.0,
        accuracy=lambda model, images, seed: _flipped(model, images, options.card_flips, seed),
        recorded={"card.flips": options.card_flips},
    )


def _flipped(model: nn.Module, images: ImageSet, flips: int, seed: int) -> float:
    """Mean accuracy over seeded flips; as it is, of a model that is no better than guessing."""
    plain = accuracy(model, unit_images(images.images), images.labels)
    if plain * len(images.classes) <= 100:
        return plain
    memory = StoredWeights(model)
    found = survey(memory, images, sample_sites(memory, flips, bits="top", seed=seed))
    return 100.0 * float(found.right.double().mean()) / found.images


def _fgsm(settings: RecipeOptions, options: DeltaOptions) -> Hazard:
    """FGSM, made on the model that is measured (Goodfellow et al., ICLR 2015)."""
    epsilon = options.card_budget or _settings(settings, SelectiveOptions).attack_epsilon
    return Hazard("fgsm_linf", epsilon, _under(Fgsm(epsilon)))


def _worst_case(settings: RecipeOptions, options: DeltaOptions) -> Hazard:
    """PGD with 20 steps and APGD-CE with 100, on the model that is measured; the worse of both."""
    epsilon = options.card_budget or _settings(settings, ClatOptions).epsilon
    attacks = Pgd(epsilon, steps=20), Apgd(epsilon, steps=100)
    return Hazard("pgd20_apgd100_linf", epsilon, _under(*attacks))


def _under(*attacks: Attack) -> Callable[[nn.Module, ImageSet, int], float]:
    """Measure the share of images that stand under every attack; each is tried on what is left."""

    def measured(model: nn.Module, images: ImageSet, seed: int) -> float:
        rows = torch.arange(len(images))
        for attack in attacks:
            if len(rows):
                shown, labels = images.images[rows], images.labels[rows]
                changed = attack.perturb(model, shown, labels, seed=seed, indices=rows)
                rows = rows[correctness(model, changed, labels)]
        return 100.0 * (len(rows) / len(images))

    return measured


_Options = TypeVar("_Options", bound=RecipeOptions)


def _settings(settings: RecipeOptions, wanted: type[_Options]) -> _Options:
    if not isinstance(settings, wanted):
        raise ConfigError(
            f"the settings are {type(settings).__name__}; expected {wanted.__name__}, which say "
            "how strong the hazard is"
        )
    return settings


HAZARDS: Mapping[Kind, Callable[[RecipeOptions, DeltaOptions], Hazard]] = MappingProxyType(
    {
        "corruption_resistant": _corruption,
        "hessian_aware": _bit_flip,
        "selective": _fgsm,
        "clat": _worst_case,
    }
)
"""How each kind's hazard follows from a recipe's settings and the options."""
