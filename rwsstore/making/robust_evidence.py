"""What is measured on a finished signature: its robustness card and its golden logits."""

__all__ = ["with_evidence"]

import torch
from torch import nn

from rwsstore.corruptions import corrupt
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError
from rwsstore.evaluation.accuracy import accuracy
from rwsstore.making.evidence import with_evidence as with_measured
from rwsstore.making.options import ExtractionOptions
from rwsstore.patches import Patch
from rwsstore.progress import SILENT, Reporter
from rwsstore.training import derive_seed


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
        ConfigError: it is for none.
        GoldenError: the patch changes no logit of the probe batch.
    """
    seed, corruption = options.training.seed, patch.metadata.corruption
    if corruption is None:
        raise ConfigError(f"patch {patch.name!r} is for no image corruption: it has no card")
    images = validation.limit(min(options.card_images, len(validation)), seed)
    corrupted = corrupt(
        images.images,
        corruption,
        options.severity,
        seed=derive_seed(seed, "card"),
        indices=torch.arange(len(images)),
    )
    return with_measured(
        clean,
        patch,
        images,
        lambda model: accuracy(model, corrupted, images.labels),
        alphas=options.alphas,
        seed=seed,
        progress=progress,
    )
