"""What is measured on a finished patch: its robustness card and its golden logits."""

__all__ = ["probe_for", "with_evidence"]

import torch
from torch import nn

from rwsstore.corruptions import corrupt
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError
from rwsstore.evaluation.accuracy import accuracy
from rwsstore.patches import (
    CardPoint,
    GoldenProbe,
    Patch,
    RobustnessCard,
    check_golden,
    probe_images,
    record_golden,
)
from rwsstore.progress import SILENT, Reporter
from rwsstore.runtime import LiveModel, PatchBag
from rwsstore.signatures.options import ExtractionOptions
from rwsstore.training import derive_seed

_PROBE_IMAGES = 8


def with_evidence(
    clean: nn.Module,
    patch: Patch,
    validation: ImageSet,
    options: ExtractionOptions,
    *,
    progress: Reporter = SILENT,
) -> Patch:
    """Add the robustness card and the golden logits to a patch for an image corruption.

    Raises:
        GoldenError: the patch changes no logit of the probe batch.
    """
    live = LiveModel(clean, PatchBag([patch]))
    probe = probe_for(validation, options)
    images = probe_images(probe.seed, probe.count, probe.size)
    models = live.variant({}), live.variant({patch.name: None})
    golden = record_golden(*models, images)
    check_golden(golden, *models, images)
    card = _card(live, patch, validation, options, progress)
    return patch.with_evidence(card=card, golden=golden, probe=probe)


def probe_for(images: ImageSet, options: ExtractionOptions) -> GoldenProbe:
    """Describe the probe batch for a model that takes images of this size.

    Raises:
        ConfigError: they are too large for a probe batch.
    """
    size = int(images.images.shape[-1])
    try:
        return GoldenProbe(seed=options.training.seed, count=_PROBE_IMAGES, size=size)
    except ValueError as error:
        raise ConfigError(f"no golden logits for images of {size} pixels: {error}") from None


def _card(
    live: LiveModel,
    patch: Patch,
    validation: ImageSet,
    options: ExtractionOptions,
    progress: Reporter,
) -> RobustnessCard:
    seed = options.training.seed
    images = validation.limit(min(options.card_images, len(validation)), seed)
    corruption = patch.metadata.corruption
    if corruption is None:
        raise ConfigError(f"patch {patch.name!r} is for no image corruption: it has no card")
    corrupted = corrupt(
        images.images,
        corruption,
        options.severity,
        seed=derive_seed(seed, "card"),
        indices=torch.arange(len(images)),
    )
    points = []
    grid = sorted({0.0, *options.alphas})
    with progress.task(f"{patch.name}, robustness card", total=len(grid)) as task:
        for alpha in grid:
            model = live.variant({patch.name: alpha})
            ta = accuracy(model, images.images, images.labels)
            ra = accuracy(model, corrupted, images.labels)
            points.append(CardPoint(alpha=alpha, ta=ta, ra=ra))
            task.advance(note=f"alpha {alpha:g}: TA {ta:.1f}, RA {ra:.1f}")
    return RobustnessCard(images=len(images), points=tuple(points))
