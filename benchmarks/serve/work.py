"""What every service is given to do: the same model file, the same images."""

__all__ = ["MODEL_NAME", "Work", "make_work"]

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from rwsstore.models import ModelSpec, build, save_checkpoint
from rwsstore.speed import random_patches
from rwsstore.store import Store
from serve.settings import Settings

MODEL_NAME = "bench"
_IMAGES = 64
_SIZE = 32


@dataclass(frozen=True)
class Work:
    """Files of one benchmark run.

    Attributes:
        folder: a temporary one, for logs too.
        model: checkpoint of a folded VGG-16 with random weights.
        store: of the patches.
        patches: their names; 8 bits, on the shallowest five layers.
        images: JPEG files of 32×32 pixels, all different.
    """

    folder: Path
    model: Path
    store: Path
    patches: tuple[str, ...]
    images: tuple[bytes, ...]


@contextmanager
def make_work(settings: Settings, *, patches: int) -> Iterator[Work]:
    """Make model, patches and images in a folder that is removed afterwards.

    Args:
        settings: for the width of the network.
        patches: how many.
    """
    spec = ModelSpec(network="vgg16", num_classes=10, width=settings.width, folded=True)
    model = build(spec, seed=0).eval()
    with TemporaryDirectory() as name:
        folder = Path(name)
        save_checkpoint(folder / f"{MODEL_NAME}.safetensors", model)
        store = Store(folder / "store")
        made = random_patches(model, patches)
        for patch in made:
            store.publish(patch)
        yield Work(
            folder=folder,
            model=folder / f"{MODEL_NAME}.safetensors",
            store=store.root,
            patches=tuple(patch.name for patch in made),
            images=tuple(_jpeg(number) for number in range(_IMAGES)),
        )


def _jpeg(number: int) -> bytes:
    """A colour gradient with noise: as many bytes as a photograph of this size has."""
    generator = np.random.default_rng(number)
    ramp = np.linspace(0.0, 1.0, _SIZE)
    across, down = generator.uniform(-120, 120, (2, 3))
    picture = 128 + ramp[:, None, None] * down + ramp[None, :, None] * across
    picture = picture + generator.normal(0, 20, (_SIZE, _SIZE, 3))
    file = io.BytesIO()
    pixels = picture.clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()
