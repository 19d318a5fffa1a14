"""A row for each kind of patch: which difference it is, and the hazard that it is against."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import nn

from rwsstore import training
from rwsstore.attacks import Apgd, Attack, Fgsm, Pgd
from rwsstore.corruptions import corrupt
from rwsstore.data import ImageSet, unit_images
from rwsstore.errors import ConfigError
from rwsstore.making.options import DeltaOptions, ExtractionOptions
from rwsstore.making.projection import Difference, changes, signature
from rwsstore.measure.accuracy import accuracy, correct_under, percent
from rwsstore.probes import parameter_corruption
from rwsstore.probes.bitflips import StoredWeights, sample_sites, survey

Measure = Callable[[nn.Module], float]
"""Accuracy in percent of a model in evaluation mode, which is left as it is."""


@dataclass(frozen=True)
class Hazard:
    """Something that takes a model's accuracy away: a corruption, an attack, failing weights.

    Attributes:
        on: gets ready to measure accuracy under it on labelled images, with a seed for what is
            drawn: the same for all models that are compared. An image whose logits are not finite
            counts as wrong.
        corruption: the image corruption, with its severity, 1 to 5; None where it is another.
        attack: what a patch says that it is for, with the budget ε, above 0; None for corruptions.
        recorded: what else defines it, for the patch's recipe.
    """

    on: Callable[[ImageSet, int], Measure]
    corruption: str | None = None
    severity: int | None = None
    attack: str | None = None
    budget: float | None = None
    recorded: Mapping[str, int] = field(default_factory=dict)

    @property
    def described(self) -> dict[str, Any]:
        """As a patch's description says it."""
        names = ("corruption", "severity", "attack", "budget")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


@dataclass(frozen=True)
class KindRow:
    """How patches of one kind are made.

    Attributes:
        difference: of the trained model, from the clean one and their anchor.
        hazard: what they are against, as it follows from a recipe and the options.
    """

    difference: Difference
    hazard: Callable[[training.Recipe, Any], Hazard]


KINDS: dict[str, KindRow] = {}
"""A row for each kind of patch that can be made; applying one needs none."""

_Hazards = TypeVar("_Hazards", bound=Callable[..., Hazard])


def patch_kind(name: str, difference: Difference = changes) -> Callable[[_Hazards], _Hazards]:
    """Have patches of a kind made; the function below says what they are against.

    A recipe makes them by its `kind`, and `difference` becomes the patch.

    Raises:
        ConfigError: the kind has a row already.
    """
    if name in KINDS:
        raise ConfigError(f"there is a kind of patch {name!r} already; name it otherwise")

    def add(hazard: _Hazards) -> _Hazards:
        KINDS[name] = KindRow(difference, hazard)
        return hazard

    return add


def row_of(recipe: training.Recipe) -> KindRow:
    """The row of a recipe's kind.

    Raises:
        ConfigError: nothing is known of the kind, or the recipe makes no patch.
    """
    kind = getattr(recipe, "kind", None)
    if kind not in KINDS:
        raise ConfigError(
            f"recipe {recipe.name!r} makes patches of kind {kind}, and no hazard is known for "
            f"them; for {', '.join(KINDS)}"
        )
    return KINDS[kind]


def hazard_for(recipe: training.Recipe, options: DeltaOptions | ExtractionOptions) -> Hazard:
    """What a recipe's patches are against, at the strength that their cards are measured at.

    Raises:
        ConfigError: the options ask for a budget that the hazard does not have, or one out of
            its range; or nothing is known of the recipe's kind.
    """
    return row_of(recipe).hazard(recipe, options)


@patch_kind("rws", signature)
def _image_corruption(recipe: training.Recipe, _options: ExtractionOptions) -> Hazard:
    """A corruption of images; they are corrupted once for all models."""
    if not isinstance(recipe, training.RobustRecipe):
        raise ConfigError(f"recipe {recipe.name!r} is for no image corruption")
    name, severity = recipe.corruption, recipe.severity

    def on(images: ImageSet, seed: int) -> Measure:
        places = torch.arange(len(images))
        shown = corrupt(images.images, name, severity, seed=seed, indices=places)
        return lambda model: accuracy(model, shown, images.labels)

    return Hazard(on, corruption=name, severity=severity)


@patch_kind("corruption_resistant")
def _parameter_corruption(recipe: training.Recipe, options: DeltaOptions) -> Hazard:
    """The gradient-based corruption of all parameters (Sun et al., AAAI 2021, equation 7).

    Accuracy at w + â, the gradient taken at the model that is measured, on these very images.
    """
    chosen = _settings(recipe, training.CorruptionResistantOptions).constraint
    constraint = replace(chosen, epsilon=options.card_budget or chosen.epsilon)

    def on(images: ImageSet, _seed: int) -> Measure:
        def measured(model: nn.Module) -> float:
            sample = parameter_corruption.Sample.of(model, images.images, images.labels)
            corruption = parameter_corruption.gradient_corruption(
                parameter_corruption.loss_gradient(model, sample).tensors, constraint
            )
            return parameter_corruption.measure(
                parameter_corruption.corrupted_copy(model, corruption), sample
            ).accuracy

        return measured

    norm = "linf" if constraint.p == math.inf else f"l{constraint.p:g}"
    few = "" if constraint.n is None else f"_n{constraint.n}"
    return Hazard(on, attack=f"parameter_corruption_{norm}{few}", budget=constraint.epsilon)


@patch_kind("hessian_aware")
def _bit_flip(_recipe: training.Recipe, options: DeltaOptions) -> Hazard:
    """One flipped bit: the exponent's highest, of any of the float32 parameters.

    Mean accuracy over seeded flips; of a model that is no better than guessing, as it is.
    """
    if options.card_budget is not None:
        raise ConfigError("card_budget is for other hazards: of bits, one at a time is flipped")
    flips = options.card_flips

    def on(images: ImageSet, seed: int) -> Measure:
        def measured(model: nn.Module) -> float:
            plain = accuracy(model, unit_images(images.images), images.labels)
            if plain * len(images.classes) <= 100:
                return plain
            memory = StoredWeights(model)
            sites = sample_sites(memory, flips, bits="top", seed=seed)
            found = survey(memory, images, sites)
            return 100.0 * float(found.right.double().mean()) / found.images

        return measured

    return Hazard(on, attack="bit_flip_exponent", budget=1.0, recorded={"card.flips": flips})


@patch_kind("selective")
def _fgsm(recipe: training.Recipe, options: DeltaOptions) -> Hazard:
    """FGSM, made on the model that is measured (Goodfellow et al., ICLR 2015)."""
    epsilon = options.card_budget or _settings(recipe, training.SelectiveOptions).attack_epsilon
    return Hazard(_under(Fgsm(epsilon)), attack="fgsm_linf", budget=epsilon)


@patch_kind("clat")
def _worst_case(recipe: training.Recipe, options: DeltaOptions) -> Hazard:
    """PGD with 20 steps and APGD-CE with 100, on the model that is measured; the worse of both."""
    epsilon = options.card_budget or _settings(recipe, training.ClatOptions).epsilon
    attacks = Pgd(epsilon, steps=20), Apgd(epsilon, steps=100)
    return Hazard(_under(*attacks), attack="pgd20_apgd100_linf", budget=epsilon)


def _under(*attacks: Attack) -> Callable[[ImageSet, int], Measure]:
    """Measure the share of images that stand under every attack; each is tried on what is left."""

    def on(images: ImageSet, seed: int) -> Measure:
        return lambda model: percent(
            correct_under(model, attacks, images.images, images.labels, seed=seed)
        )

    return on


_Options = TypeVar("_Options", bound=training.RecipeOptions)


def _settings(recipe: training.Recipe, wanted: type[_Options]) -> _Options:
    settings = getattr(recipe, "settings", None)
    if not isinstance(settings, wanted):
        raise ConfigError(
            f"the settings are {type(settings).__name__}; expected {wanted.__name__}, which say "
            "how strong the hazard is"
        )
    return settings
