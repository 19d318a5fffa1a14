"""The patches of a bundle against failing weights and adversaries: made, measured, listed."""

__all__ = ["make_deltas", "measure_deltas"]

from collections.abc import Sequence

from torch import nn

from rwsstore.data import ImageSet
from rwsstore.deltas import (
    DeltaConfig,
    delta_recipe,
    hazard_for,
    is_current,
    measured_delta,
    publish_delta,
)
from rwsstore.errors import UnknownPatchError
from rwsstore.evaluation import accuracy
from rwsstore.making.card import DeltaSummary
from rwsstore.making.config import BundleConfig
from rwsstore.making.work import Work
from rwsstore.patches import Patch, reach_of
from rwsstore.progress import SILENT, Reporter
from rwsstore.runtime import LiveModel, PatchBag
from rwsstore.store import Store
from rwsstore.training import WeightRecipe, derive_seed

_WIDE_BITS = 32
_WIDE_CARD_IMAGES = 100
"""The 32-bit patches stay in the work folder: a small card is enough to tell a failed training."""


def make_deltas(
    config: BundleConfig,
    clean: nn.Module,
    train: ImageSet,
    held_out: ImageSet,
    files: Work,
    *,
    progress: Reporter = SILENT,
) -> tuple[Patch, ...]:
    """Extract at 32 bits, and store at the width asked for; what is there already is kept."""
    return tuple(
        _make(config, wanted, clean, train, held_out, files, progress) for wanted in config.deltas
    )


def _make(
    config: BundleConfig,
    wanted: DeltaConfig,
    clean: nn.Module,
    train: ImageSet,
    held_out: ImageSet,
    files: Work,
    progress: Reporter,
) -> Patch:
    name, recipe, options = wanted.patch_name, wanted.recipe_for(clean), wanted.options
    record, hazard = delta_recipe(recipe, train, held_out, options), hazard_for(recipe, options)
    stored = _stored(files.narrow, name)
    if stored is not None and is_current(stored, clean, options, record, hazard):
        return stored
    wide = options.model_copy(
        update={
            "bits": _WIDE_BITS,
            "alphas": (1.0,),
            "card_images": min(_WIDE_CARD_IMAGES, options.card_images),
        }
    )
    item = publish_delta(
        clean, recipe, train, held_out, wide, files.wide,
        name=name, state_folder=files.runs, mode=config.compute_mode, progress=progress,
    )  # fmt: skip
    narrow = item.patch.at_bits(options.bits)
    patch = measured_delta(clean, narrow, recipe, held_out, options, progress=progress)
    if stored is not None:  # of other settings; what is shipped has one version of each name
        files.narrow.remove(name)
    files.narrow.publish(patch, name=name, expected=0)
    return patch


def _stored(store: Store, name: str) -> Patch | None:
    try:
        return store.get(name)
    except UnknownPatchError:
        return None


def measure_deltas(
    config: BundleConfig,
    clean: nn.Module,
    patches: Sequence[Patch],
    test: ImageSet,
    *,
    progress: Reporter = SILENT,
) -> tuple[DeltaSummary, ...]:
    """Measure each patch once on the test images: TA, and accuracy under its hazard."""
    settings = config.measuring
    images = test.limit(min(settings.hazard_images, len(test)), settings.seed)
    found = []
    with progress.task("hazards, test images", total=len(patches)) as task:
        for wanted, patch in zip(config.deltas, patches, strict=True):
            recipe = wanted.recipe_for(clean)
            one = _measure(config, wanted, recipe, clean, patch, test, images)
            task.advance(note=f"{one.name}: {one.clean_model:.1f} to {one.patched:.1f}")
            found.append(one)
    return tuple(found)


def _measure(
    config: BundleConfig,
    wanted: DeltaConfig,
    recipe: WeightRecipe,
    clean: nn.Module,
    patch: Patch,
    test: ImageSet,
    images: ImageSet,
) -> DeltaSummary:
    live = LiveModel(clean, PatchBag([patch]))
    bare, patched = live.variant({}), live.variant({patch.name: None})
    hazard, seed = hazard_for(recipe, wanted.options), derive_seed(config.measuring.seed, "hazard")
    return DeltaSummary(
        name=patch.name,
        digest=patch.digest,
        kind=patch.metadata.kind,
        attack=hazard.attack,
        budget=hazard.budget,
        payload_bytes=patch.payload_bytes,
        file_bytes=patch.file_bytes,
        touched_bytes=reach_of(patch.metadata).touched_bytes,
        layers=len(patch.metadata.layers),
        images=len(images),
        ta=accuracy(patched, test.images, test.labels),
        clean_model=hazard.accuracy(bare.module, images, seed),
        patched=hazard.accuracy(patched.module, images, seed),
    )
