"""Extraction of many patches into a store; a second run does only what is missing."""

__all__ = ["SweepItem", "extract_all", "is_current"]

from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import nn

from rwsstore.corruptions.registry import find_corruption
from rwsstore.cpu import ComputeMode
from rwsstore.data import ImageSet
from rwsstore.making.once import SweepItem, make_once
from rwsstore.making.options import ExtractionOptions
from rwsstore.making.records import run_file
from rwsstore.making.robust import extract_patch, patch_recipe
from rwsstore.models import weights_fingerprint
from rwsstore.patches import Patch, Recipe
from rwsstore.progress import SILENT, Reporter
from rwsstore.store import Store


def is_current(
    patch: Patch, clean: nn.Module, corruption: str, options: ExtractionOptions, recipe: Recipe
) -> bool:
    """Whether a stored patch is what these options would make of this model.

    Args:
        patch: the stored one.
        clean: the clean model.
        corruption: its name.
        options: as in `extract_patch`.
        recipe: from `patch_recipe`, of the same options and the images.
    """
    found, card = patch.metadata, patch.metadata.card
    return (
        found.kind == "rws"
        and found.clean_weights == weights_fingerprint(clean.state_dict())
        and (found.corruption, found.severity) == (corruption, options.severity)
        and (found.bits, found.anchor) == (options.bits, options.anchor)
        and found.recipe == recipe
        and card is not None
        and {point.alpha for point in card.points} == {0.0, *options.alphas}
        and card.images == min(options.card_images, recipe.parameters["validation_images"])
    )


def extract_all(
    clean: nn.Module,
    corruptions: Sequence[str],
    train: ImageSet,
    validation: ImageSet,
    options: ExtractionOptions,
    store: Store,
    *,
    anchor: nn.Module | None = None,
    state_folder: Path | None = None,
    mode: ComputeMode | None = None,
    progress: Reporter = SILENT,
) -> Iterator[SweepItem]:
    """Extract a patch for each corruption and publish it as soon as it is finished.

    Args:
        clean: the clean model, folded.
        corruptions: names.
        train: clean images.
        validation: images that are not in `train`.
        options: all parameters.
        store: where the patches go, each under its corruption's name.
        anchor: as in `extract_patch`.
        state_folder: where the state of the patch in the making is kept; its file is deleted
            once the patch is published.
        mode: as in `extract_patch`.
        progress: where to report.

    Yields:
        Each patch, once it is in the store.

    Raises:
        UnknownNameError: no such corruption; nothing was extracted.
        ConflictError: somebody else published under a name since the sweep came to it.
        RwsError: as `extract_patch` does; what was published stays.
    """
    for corruption in corruptions:
        find_corruption(corruption)
    recipe = patch_recipe(options, train, validation, anchor)

    def extract_once(corruption: str) -> SweepItem:
        return make_once(
            store,
            corruption,
            lambda patch: is_current(patch, clean, corruption, options, recipe),
            lambda state_file: extract_patch(
                clean, corruption, train, validation, options,
                anchor=anchor, state_file=state_file, mode=mode, progress=progress,
            ),
            state_folder=state_folder,
            run=lambda: run_file(
                corruption, clean, options.model_dump(mode="json"), recipe.model_dump(mode="json")
            ),
        )  # fmt: skip

    yield from map(extract_once, corruptions)
