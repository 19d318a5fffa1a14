"""From a clean model to a patch: go on training it, take the difference, quantize, measure."""

__all__ = ["delta_recipe", "extract_delta", "measured_delta"]

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rwsstore.canonical import canonical_json, sha256_hex
from rwsstore.cpu import ComputeMode
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError
from rwsstore.making.evidence import probe_for, with_evidence
from rwsstore.making.hazards import hazard_for
from rwsstore.making.options import DeltaOptions
from rwsstore.making.records import data_parameters, training_parameters
from rwsstore.models import ordered_layers
from rwsstore.patches import AlphaRange, Patch, Recipe, identify, make_patch
from rwsstore.progress import SILENT, Reporter
from rwsstore.training import TrainingConfig, WeightRecipe, derive_seed, fit

_LONGEST_TEXT = 4096


def delta_recipe(
    recipe: WeightRecipe, train: ImageSet, validation: ImageSet, options: DeltaOptions
) -> Recipe:
    """What a patch records of how it was made; equal recipes, options and images, equal records.

    A recipe's settings stand as `set.NAME`, those at None left out.

    Args:
        recipe: as in `extract_delta`.
        train: as in `extract_delta`.
        validation: as in `extract_delta`.
        options: as in `extract_delta`.
    """
    training = _training(recipe, options)
    settings = {
        f"set.{name}": _recorded(value)
        for name, value in recipe.options().items()
        if value is not None
    }
    parameters = {
        **data_parameters(train, validation),
        **training_parameters(training),
        **settings,
        **hazard_for(recipe, options).recorded,
    }
    return Recipe(name=recipe.name, seed=training.seed, parameters=parameters)


def _recorded(value: Any) -> bool | int | float | str:
    """A setting as a patch can hold it: lists as JSON text, too long ones as its hash."""
    if isinstance(value, bool | int | float | str):
        return value
    text = canonical_json(value)
    return text if len(text) <= _LONGEST_TEXT else f"sha256:{sha256_hex(text.encode())}"


def extract_delta(
    clean: nn.Module,
    recipe: WeightRecipe,
    train: ImageSet,
    validation: ImageSet,
    options: DeltaOptions,
    *,
    name: str | None = None,
    state_file: Path | None = None,
    mode: ComputeMode | None = None,
    progress: Reporter = SILENT,
) -> Patch:
    """Make a patch of what a recipe's training changes in the clean model.

    Args:
        clean: the clean model θ_std, float32; left as it is.
        recipe: what trains, against what.
        train: clean images.
        validation: images that are not in `train`; the best epoch is chosen on them and the card
            measured.
        options: everything that is not the recipe's own.
        name: of the patch; the recipe's by default.
        state_file: where the training's state is kept, to go on after an interruption.
        mode: bf16 and channels_last for the training, or not.
        progress: where to report.

    Raises:
        ConfigError: options that contradict each other or the model, or a training that changed
            nothing.
        TensorError: the training diverged.
        GoldenError: the patch does nothing.
    """
    hazard, training = hazard_for(recipe, options), _training(recipe, options)
    probe_for(validation, training.seed)  # refused before the training
    result = fit(
        clean, recipe, train, validation, training,
        label=name or recipe.name, state_file=state_file, mode=mode, progress=progress,
    )  # fmt: skip
    deltas = _deltas(clean, result.model, recipe)
    layers = [layer for layer in ordered_layers(clean) if deltas.keys() & set(layer.parameters)]
    patch = make_patch(
        kind=recipe.kind,
        name=name or recipe.name,
        model=identify(clean.state_dict()),
        layers=tuple(layer.name for layer in layers),
        deltas=deltas,
        bits=options.bits,
        alpha=AlphaRange(recommended=options.alpha),
        attack=hazard.attack,
        budget=hazard.budget,
        dataset=train.name,
        recipe=delta_recipe(recipe, train, validation, options),
    )
    return measured_delta(clean, patch, recipe, validation, options, progress=progress)


def measured_delta(
    clean: nn.Module,
    patch: Patch,
    recipe: WeightRecipe,
    validation: ImageSet,
    options: DeltaOptions,
    *,
    progress: Reporter = SILENT,
) -> Patch:
    """Add the robustness card and the golden logits.

    Args:
        clean: the clean model.
        patch: made of it by the recipe.
        recipe: says what RA is measured under.
        validation: images that were not trained on.
        options: how.
        progress: where to report.

    Raises:
        GoldenError: the patch changes no logit of the probe batch.
    """
    seed, hazard = _training(recipe, options).seed, hazard_for(recipe, options)
    images = validation.limit(min(options.card_images, len(validation)), seed)
    return with_evidence(
        clean,
        patch,
        images,
        lambda variant: hazard.accuracy(variant.module, images, derive_seed(seed, "card")),
        alphas=options.alphas,
        seed=seed,
        progress=progress,
    )


def _training(recipe: WeightRecipe, options: DeltaOptions) -> TrainingConfig:
    return recipe.defaults if options.training is None else options.training


def _deltas(clean: nn.Module, trained: nn.Module, recipe: WeightRecipe) -> Mapping[str, Tensor]:
    """What changed, in float64, by the tensor's name."""
    before, after = clean.state_dict(), trained.state_dict()
    deltas = {
        name: after[name].double() - before[name].double()
        for name in sorted(recipe.trainable(clean))
        if not torch.equal(after[name], before[name])
    }
    if not deltas:
        raise ConfigError(
            f"recipe {recipe.name!r} changed no weight, so there is no patch: train longer, or "
            "with a larger learning rate"
        )
    return deltas
