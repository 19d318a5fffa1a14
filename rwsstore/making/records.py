"""What a patch records of its training, and the file that a training under way is kept in."""

__all__ = ["data_parameters", "run_file", "training_parameters"]

from typing import Any

from torch import nn

from rwsstore.canonical import canonical_json, sha256_hex
from rwsstore.data import ImageSet
from rwsstore.models import weights_fingerprint
from rwsstore.training import TrainingConfig
from rwsstore.training.resume import images_digest


def training_parameters(training: TrainingConfig) -> dict[str, Any]:
    """A training's parameters as a patch records them; its seed has a place of its own.

    What came later is left out where it is as it always was, so that the same training goes on
    making the same bytes.
    """
    later = {"optimizer": "sgd"}
    recorded = training.model_dump(mode="json", exclude={"version", "seed"})
    return {name: value for name, value in recorded.items() if later.get(name) != value}


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
