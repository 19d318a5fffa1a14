"""BentoML, as its page on adaptive batching sets it up.

docs.bentoml.com, "Adaptive batching": a batchable endpoint takes one list, `max_batch_size` and
`max_latency_ms` bound the batches that its dispatcher learns to form; 32 and 1000 there. "Input
and output types": images are PIL images, files of a form. "Parallelize requests handling": on a
CPU, as many workers as cores.
"""

import bentoml
from PIL.Image import Image

from serve.rivals.serving import Options, compute, decode, top

_OPTIONS = Options.from_environment()


@bentoml.service(
    workers=_OPTIONS.workers,
    traffic={"timeout": 60},
    logging={"access": {"enabled": False}},
)
class ImageService:
    """The model, with one batchable endpoint."""

    def __init__(self) -> None:
        self._model = _OPTIONS.load()

    @bentoml.api(
        batchable=True, max_batch_size=_OPTIONS.batch, max_latency_ms=int(_OPTIONS.wait_ms)
    )
    def predict(self, images: list[Image]) -> list[dict]:  # type: ignore[type-arg]
        """The five likeliest of each image; BentoML makes its schema of the plain `dict`."""
        return [top(one) for one in compute(self._model, [decode(image) for image in images])]
