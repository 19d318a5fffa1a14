"""LitServe, as its guides on batching and on speed set it up.

Pages of lightning.ai/docs/litserve. features/batching: `max_batch_size` and `batch_timeout` of the
LitAPI, whose `batch` and `unbatch` go around `predict`. speed-up-serving-by-200x: an image comes as
base64 in JSON. api-reference/litserver: `fast_queue` where hundreds of requests a second are
served; on a CPU as many workers as cores.
"""

import base64

import litserve as ls
import torch
from torch import Tensor

from serve.rivals.serving import Options, compute, decode, top


class ImageAPI(ls.LitAPI):
    """The steps of one prediction."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe passes it by position
        """Load the model, once in each worker; the CPU is the only device."""
        self.model = Options.from_environment().load()

    def decode_request(self, request: dict[str, str]) -> Tensor:
        """Of JSON: uint8 [3, H, W]."""
        return decode(base64.b64decode(request["image_data"]))

    def batch(self, inputs: list[Tensor]) -> list[Tensor]:
        """Leave them a list, which `compute` stacks."""
        return inputs

    def predict(self, images: list[Tensor]) -> Tensor:
        """Probabilities, float32 [B, C]."""
        return compute(self.model, images)

    def unbatch(self, output: Tensor) -> list[Tensor]:
        """One a request."""
        return list(output)

    def encode_response(self, output: Tensor) -> dict[str, list[dict[str, int | float]]]:
        """The five likeliest."""
        return top(output)


def serve(options: Options) -> None:
    """Serve until terminated."""
    torch.set_num_threads(options.threads)
    api = ImageAPI(max_batch_size=options.batch, batch_timeout=options.wait_ms / 1000)
    server = ls.LitServer(
        api, accelerator="cpu", workers_per_device=options.workers, fast_queue=True
    )
    server.run(
        host="127.0.0.1",
        port=options.port,
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )


if __name__ == "__main__":
    serve(Options.from_environment())
