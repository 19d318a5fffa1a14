"""What every rival does: load the same model file, decode a JPEG, name the five likeliest."""

import io
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rwsstore.models import Classifier, load_clean_model

_TOP = 5
_VARIABLE = "RIVAL_OPTIONS"


@dataclass(frozen=True)
class Options:
    """How a rival is set up; given in its environment."""

    model: Path
    port: int
    threads: int  # of torch, in each process that computes
    workers: int  # processes that compute
    batch: int  # most images computed together
    wait_ms: float  # how long a batch may wait for more

    def to_environment(self) -> dict[str, str]:
        """As a variable."""
        return {_VARIABLE: json.dumps({**asdict(self), "model": str(self.model)})}

    @classmethod
    def from_environment(cls) -> "Options":
        """Of that variable.

        Raises:
            KeyError: it is missing.
        """
        values = json.loads(os.environ[_VARIABLE])
        return cls(**{**values, "model": Path(values["model"])})

    def load(self) -> Classifier:
        """Load the model, and take the threads."""
        torch.set_num_threads(self.threads)
        return load_clean_model(self.model).requires_grad_(False)


def decode(file: bytes | Image.Image) -> Tensor:
    """Decode a JPEG.

    Returns:
        uint8 [3, H, W]
    """
    image = file if isinstance(file, Image.Image) else Image.open(io.BytesIO(file))
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def compute(model: Classifier, images: Sequence[Tensor]) -> Tensor:
    """Compute one batch.

    Returns:
        float32 [B, C]; probabilities
    """
    with torch.inference_mode():
        probabilities: Tensor = model(torch.stack(list(images))).softmax(1)
    return probabilities


def top(probabilities: Tensor) -> dict[str, list[dict[str, int | float]]]:
    """Make the answer for one image.

    Args:
        probabilities: float32 [C].
    """
    found = probabilities.topk(_TOP)
    rows = zip(found.indices.tolist(), found.values.tolist(), strict=True)
    return {"top": [{"label": label, "probability": share} for label, share in rows]}
