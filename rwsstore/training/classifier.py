"""From a network's name to a clean model: training, folding, and the anchor."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from rwsstore.cpu import ComputeMode
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError
from rwsstore.models import Classifier, fold_batchnorm
from rwsstore.progress import SILENT, Reporter
from rwsstore.training.config import EpochRecord, TrainingConfig, TrainingResult
from rwsstore.training.loop import beside, fit
from rwsstore.training.recipes.base import Recipe

Channels = tuple[float, float, float]
"""Red, green, blue."""

_FOLDED_RATE = 0.1
_FOLDED_CLIP = 1.0


@dataclass(frozen=True, eq=False)
class ClassifierRun:
    """What a training leaves.

    Attributes:
        model: the classifier with its BatchNorm folded, in evaluation mode.
        unfolded: as it was trained, where it had BatchNorm to the end; else None.
        anchor: θ_init, folded, where one was asked for; else None.
        best: the epoch that was kept.
        history: all epochs, counted from the beginning of the whole run.
    """

    model: Classifier
    unfolded: Classifier | None
    anchor: Classifier | None
    best: EpochRecord
    history: tuple[EpochRecord, ...]


def pixel_statistics(images: ImageSet) -> tuple[Channels, Channels]:
    """Mean and standard deviation of each channel, in [0, 1], over every n-th image.

    n is such that 10,000 to 20,000 images count where there are as many, else all.
    """
    pixels = images.images[:: max(1, len(images) // 10_000)].float() / 255
    mean, std = pixels.mean(dim=(0, 2, 3)), pixels.std(dim=(0, 2, 3)).clamp(min=1e-3)
    return _rounded(mean), _rounded(std)


def _rounded(values: Tensor) -> Channels:
    red, green, blue = (round(float(value), 4) for value in values)
    return red, green, blue


def train_classifier(
    start: Classifier,
    recipe: Recipe,
    train: ImageSet,
    validation: ImageSet,
    config: TrainingConfig,
    *,
    anchor_epoch: int | None = None,
    pretrained: bool = False,
    state_file: Path | None = None,
    mode: ComputeMode | None = None,
    progress: Reporter = SILENT,
) -> ClassifierRun:
    """Train a classifier and fold it.

    Without an anchor the network trains as it is and is folded at the end. With one it is folded
    first, at the anchor, and goes on folded, so that anchor, clean model and robust counterparts
    are points of one space:

    - `anchor_epoch`: trains so many epochs with BatchNorm, folds, and the rest folded (the
      third anchor, an early checkpoint);
    - `pretrained`: `start` itself, folded, is the anchor (the paper's first).

    Args:
        start: where training starts; left as it is.
        recipe: what trains, on which images, towards what.
        train: images to train on.
        validation: images on which the best epoch is chosen.
        config: of the whole run. The folded part has a tenth of the learning rate, and gradients
            clipped to norm 1: without BatchNorm, larger steps diverge.
        anchor_epoch: 1 to epochs − 1.
        pretrained: the start is the anchor.
        state_file: where the run's state is kept.
        mode: bf16 and channels_last, or not.
        progress: where to report.

    Raises:
        ConfigError: `anchor_epoch` out of range, or given together with `pretrained`.
    """
    if anchor_epoch is not None and (pretrained or not 1 <= anchor_epoch < config.epochs):
        raise ConfigError(
            f"anchor epoch {anchor_epoch} of {config.epochs}: expected 1 to "
            f"{config.epochs - 1}, and no pre-trained start"
        )
    run = partial(
        fit, recipe=recipe, train=train, validation=validation, mode=mode, progress=progress
    )
    if anchor_epoch is None and not pretrained:
        result = run(start, config=config, state_file=state_file)
        model = _classifier(result)
        unfolded = None if model.spec.folded or not model.spec.batch_norm else model
        return ClassifierRun(fold_batchnorm(model), unfolded, None, result.best, result.history)
    history: tuple[EpochRecord, ...] = ()
    if anchor_epoch is not None:
        early = run(
            start, config=config, stop_after=anchor_epoch, state_file=beside(state_file, "early")
        )
        start, history = _classifier(early), early.history
    anchor = fold_batchnorm(start)
    rest = config.model_copy(
        update={
            "epochs": config.epochs - len(history),
            "learning_rate": config.learning_rate * _FOLDED_RATE,
            "clip_norm": config.clip_norm or _FOLDED_CLIP,
        }
    )
    result = run(anchor, config=rest, label=f"{recipe.name}, folded", state_file=state_file)
    best, *later = (
        record.model_copy(update={"epoch": record.epoch + len(history)})
        for record in (result.best, *result.history)
    )
    return ClassifierRun(_classifier(result), None, anchor, best, (*history, *later))


def _classifier(result: TrainingResult) -> Classifier:
    assert isinstance(result.model, Classifier)  # noqa: S101  (fit returns what it was given)
    return result.model
