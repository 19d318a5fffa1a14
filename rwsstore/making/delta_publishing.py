"""Making a delta's patch only where the store does not hold it yet."""

__all__ = ["is_current", "publish_delta"]

from pathlib import Path

from torch import nn

from rwsstore.cpu import ComputeMode
from rwsstore.data import ImageSet
from rwsstore.making.hazards import Hazard, hazard_for
from rwsstore.making.once import SweepItem, make_once
from rwsstore.making.options import DeltaOptions
from rwsstore.making.pipeline import delta_recipe, extract_delta
from rwsstore.making.records import run_file
from rwsstore.models import weights_fingerprint
from rwsstore.patches import Patch, Recipe
from rwsstore.progress import SILENT, Reporter
from rwsstore.store import Store, check_name
from rwsstore.training import WeightRecipe


def is_current(
    patch: Patch, clean: nn.Module, options: DeltaOptions, recipe: Recipe, hazard: Hazard
) -> bool:
    """Whether a stored patch is what this recipe and these options would make of this model.

    Args:
        patch: the stored one.
        clean: the clean model.
        options: as in `extract_delta`.
        recipe: from `delta_recipe`, of the same options and images.
        hazard: from `hazard_for`.
    """
    found, card = patch.metadata, patch.metadata.card
    return (
        found.recipe == recipe
        and found.clean_weights == weights_fingerprint(clean.state_dict())
        and (found.bits, found.alpha.recommended) == (options.bits, options.alpha)
        and (found.attack, found.budget) == (hazard.attack, hazard.budget)
        and card is not None
        and {point.alpha for point in card.points} == {0.0, *options.alphas}
        and card.images == min(options.card_images, recipe.parameters["validation_images"])
    )


def publish_delta(
    clean: nn.Module,
    recipe: WeightRecipe,
    train: ImageSet,
    validation: ImageSet,
    options: DeltaOptions,
    store: Store,
    *,
    name: str | None = None,
    state_folder: Path | None = None,
    mode: ComputeMode | None = None,
    progress: Reporter = SILENT,
) -> SweepItem:
    """Make a patch as `extract_delta` does and publish it, unless the store holds it already.

    Args:
        clean: as in `extract_delta`.
        recipe: as in `extract_delta`.
        train: as in `extract_delta`.
        validation: as in `extract_delta`.
        options: as in `extract_delta`.
        store: where the patch goes.
        name: under which; the recipe's by default.
        state_folder: where the training's state is kept; its file is deleted once the patch is
            published.
        mode: as in `extract_delta`.
        progress: where to report.

    Raises:
        ConfigError: the name is not allowed; nothing was trained.
        ConflictError: somebody else published under the name meanwhile.
        RwsError: as `extract_delta` does.
    """
    chosen = check_name(name or recipe.name)
    record, hazard = delta_recipe(recipe, train, validation, options), hazard_for(recipe, options)
    defined = options.model_dump(mode="json"), record.model_dump(mode="json")
    return make_once(
        store,
        chosen,
        lambda patch: is_current(patch, clean, options, record, hazard),
        lambda state_file: extract_delta(
            clean, recipe, train, validation, options,
            name=chosen, state_file=state_file, mode=mode, progress=progress,
        ),
        state_folder=state_folder,
        run=lambda: run_file(chosen, clean, *defined),
    )  # fmt: skip
