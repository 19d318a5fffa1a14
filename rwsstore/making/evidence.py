"""What a patch says of its training, and what is measured on it when it is made."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import nn

from rwsstore.canonical import canonical_json, sha256_hex
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError
from rwsstore.measure.accuracy import accuracy
from rwsstore.models import weights_fingerprint
from rwsstore.patches import (
    CardPoint,
    GoldenProbe,
    Patch,
    RecordedRecipe,
    RobustnessCard,
    check_golden,
    probe_images,
    record_golden,
)
from rwsstore.progress import SILENT, Reporter
from rwsstore.runtime import LiveModel, PatchBag
from rwsstore.training import TrainingConfig
from rwsstore.training.resume import images_digest

_PROBE_IMAGES = 8
_LONGEST_TEXT = 4096


def recorded(
    name: str,
    training: TrainingConfig,
    train: ImageSet,
    validation: ImageSet,
    own: Mapping[str, Any],
) -> RecordedRecipe:
    """What a patch records of its training; equal recipes, options and images, equal records.

    Args:
        name: of the recipe.
        training: its schedule.
        train: trained on.
        validation: the best epoch was chosen on.
        own: the recipe's settings by name; lists are recorded as JSON text, long ones as its hash.
    """
    parameters = {
        **training_parameters(training),
        **data_parameters(train, validation),
        **{key: _text(value) for key, value in own.items()},
    }
    return RecordedRecipe(name=name, seed=training.seed, parameters=parameters)


def _text(value: Any) -> bool | int | float | str:
    if isinstance(value, bool | int | float | str):
        return value
    text = canonical_json(value)
    return text if len(text) <= _LONGEST_TEXT else f"sha256:{sha256_hex(text.encode())}"


LATER = {"optimizer": "sgd"}
"""Fields of a training's configuration that came later, as they always were before."""


def training_parameters(training: TrainingConfig) -> dict[str, Any]:
    """A training's parameters as a patch records them; its seed has a place of its own.

    What came later is left out where it is as it always was, so that the same training goes on
    making the same bytes.
    """
    found = training.model_dump(mode="json", exclude={"version", "seed"})
    return {name: value for name, value in found.items() if LATER.get(name) != value}


def data_parameters(train: ImageSet, validation: ImageSet) -> dict[str, Any]:
    """How many images a training saw, and which."""
    return {
        "training_images": len(train),
        "validation_images": len(validation),
        "images": sha256_hex((images_digest(train) + images_digest(validation)).encode()),
    }


def run_file(label: str, clean: nn.Module, *parts: object) -> str:
    """A file name that no other run shares, so that runs can stop and go on independently.

    Args:
        label: that it begins with.
        clean: the model that the run starts from.
        parts: JSON values, all that defines the run.
    """
    key = canonical_json([weights_fingerprint(clean.state_dict()), *parts])
    return f"{label}-{sha256_hex(key.encode())[:16]}.safetensors"


def with_evidence(
    clean: nn.Module,
    patch: Patch,
    images: ImageSet,
    hardened: Callable[[nn.Module], float],
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
        hardened: measures RA of a patched model, in percent, on the same images.
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
            ta, ra = accuracy(model, images.images, images.labels), hardened(model.module)
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
