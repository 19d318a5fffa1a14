"""What is measured on a finished patch: its robustness card and its golden logits."""

__all__ = ["Accuracy", "probe_for", "with_evidence"]

from collections.abc import Callable, Iterable

from torch import nn

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
from rwsstore.runtime import LiveModel, PatchBag, Variant

_PROBE_IMAGES = 8

Accuracy = Callable[[Variant], float]
"""The accuracy of a patched model under what the patch is for, in percent."""


def with_evidence(
    clean: nn.Module,
    patch: Patch,
    images: ImageSet,
    hardened: Accuracy,
    *,
    alphas: Iterable[float],
    seed: int,
    progress: Reporter = SILENT,
) -> Patch:
    """Add the robustness card and the golden logits to a patch.

    Args:
        clean: the clean model.
        patch: made of it.
        images: that the card is measured on, all of them.
        hardened: measures RA, on the same images.
        alphas: grid of the card besides 0.
        seed: of the probe batch.
        progress: where to report.

    Raises:
        GoldenError: the patch changes no logit of the probe batch.
    """
    live = LiveModel(clean, PatchBag([patch]))
    probe = probe_for(images, seed)
    batch = probe_images(probe.seed, probe.count, probe.size)
    models = live.variant({}), live.variant({patch.name: None})
    golden = record_golden(*models, batch)
    check_golden(golden, *models, batch)
    points = []
    grid = sorted({0.0, *alphas})
    with progress.task(f"{patch.name}, robustness card", total=len(grid)) as task:
        for alpha in grid:
            model = live.variant({patch.name: alpha})
            ta, ra = accuracy(model, images.images, images.labels), hardened(model)
            points.append(CardPoint(alpha=alpha, ta=ta, ra=ra))
            task.advance(note=f"alpha {alpha:g}: TA {ta:.1f}, RA {ra:.1f}")
    card = RobustnessCard(images=len(images), points=tuple(points))
    return patch.with_evidence(card=card, golden=golden, probe=probe)


def probe_for(images: ImageSet, seed: int) -> GoldenProbe:
    """Describe the probe batch for a model that takes images of this size.

    Raises:
        ConfigError: they are too large for a probe batch.
    """
    size = int(images.images.shape[-1])
    try:
        return GoldenProbe(seed=seed, count=_PROBE_IMAGES, size=size)
    except ValueError as error:
        raise ConfigError(f"no golden logits for images of {size} pixels: {error}") from None
