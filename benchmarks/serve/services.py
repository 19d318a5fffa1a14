"""What every service is given to do, the same model file and images; and our own service."""

import io
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import numpy as np
from PIL import Image
from speed_rows.row import RowSettings

from rwsstore.models import ModelSpec, build, save_checkpoint
from rwsstore.speed import random_patches
from rwsstore.store import Store
from serve.processes import free_port
from serve.server import Asker, Server, body_request, environment, started

MODEL_NAME = "bench"
_IMAGES = 64
_SIZE = 32

OWN_FORMAT = "packed"
"""The float32 format that our service is measured in."""

TOKEN = "a-token-of-the-benchmark"
"""Of whoever changes patches."""

_PREDICT = f"/v1/models/{MODEL_NAME}/predict"
_AT_ONCE = "256"  # requests that may be there, more than clients ever are


@dataclass(frozen=True)
class Work:
    """Files of one benchmark run, in a temporary folder; logs go there too."""

    folder: Path
    model: Path  # checkpoint of a folded VGG-16 with random weights
    store: Path
    patches: tuple[str, ...]  # names; 8 bits, on the shallowest five layers
    images: tuple[bytes, ...]  # JPEG files of 32×32 pixels, all different


@contextmanager
def make_work(settings: RowSettings, *, patches: int) -> Iterator[Work]:
    """Make a model, so many patches, and images, in a folder that is removed afterwards."""
    spec = ModelSpec(network="vgg16", num_classes=10, width=settings.width, folded=True)
    model = build(spec, seed=0).eval()
    with TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = folder / f"{MODEL_NAME}.safetensors"
        save_checkpoint(checkpoint, model)
        store = Store(folder / "store")
        made = random_patches(model, patches)
        for patch in made:
            store.publish(patch)
        yield Work(
            folder=folder,
            model=checkpoint,
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


def ask_active(image: bytes, _client: int) -> bytes:
    """Ask for a prediction with the active patch set."""
    return body_request("POST", _PREDICT, image, "image/jpeg")


def ask_own_patch(work: Work) -> Asker:
    """Give each client a patch set of its own: one patch, with full strength."""

    def ask(image: bytes, client: int) -> bytes:
        patchset = quote(f"{work.patches[client]}=1.0", safe="")
        return body_request("POST", f"{_PREDICT}?patchset={patchset}", image, "image/jpeg")

    return ask


def own_service(
    work: Work, settings: RowSettings, *, ask: Asker = ask_active, compute: str = OWN_FORMAT
) -> AbstractContextManager[Server]:
    """Start `rws serve` on the work's model and store.

    Raises:
        BenchmarkError: it did not start.
    """
    port = free_port()
    variables = {
        "RWS_MODEL": str(work.model),
        "RWS_STORE": str(work.store),
        "RWS_STATE": str(work.folder / f"state-{port}"),
        "RWS_PORT": str(port),
        "RWS_ADMIN_TOKENS": f"bench:{TOKEN}",
        "RWS_THREADS": str(settings.threads),
        "RWS_RATE_LIMIT": "0",
        "RWS_MAX_REQUESTS": _AT_ONCE,
        "RWS_QUEUE_SIZE": _AT_ONCE,
        "RWS_LOG_LEVEL": "warning",
        "RWS_COMPUTE": compute,
    }
    return started(
        f"rwsstore, {compute}",
        [sys.executable, "-m", "rwsstore", "serve"],
        environment=environment(settings.threads, **variables),
        log=work.folder / f"own-{port}.log",
        port=port,
        ready="/readyz",
        ask=ask,
    )
