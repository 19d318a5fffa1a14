"""A plain FastAPI service, as its tutorial writes one: it offers no batching.

fastapi.tiangolo.com, "Concurrency and async / await": what blocks is a plain `def`, which runs in
a thread of the pool. "Request Files": an image is a file of a form. "Server Workers": more
processes for more cores. The lock keeps two forward passes from taking the same cores.
"""

import threading
from typing import Annotated

import torch
import uvicorn
from fastapi import FastAPI, File

from serve.rivals.serving import Options, compute, decode, top


def create_app() -> FastAPI:
    """Load the model, and make the app."""
    model = Options.from_environment().load()
    lock = threading.Lock()
    app = FastAPI()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/predict")
    def predict(image: Annotated[bytes, File()]) -> dict[str, list[dict[str, int | float]]]:
        pixels = decode(image)
        with lock:
            probabilities = compute(model, [pixels])
        return top(probabilities[0])

    return app


if __name__ == "__main__":
    options = Options.from_environment()
    torch.set_num_threads(options.threads)
    uvicorn.run(
        "serve.rivals.fastapi_app:create_app",
        factory=True,
        host="127.0.0.1",
        port=options.port,
        workers=options.workers,
        log_level="warning",
        access_log=False,
    )
