"""The process that finds the ceiling: the model, and nothing that serves it.

    python -m serve.computing MODEL STORE PATCH FORMAT THREADS

For each line of its input, a number of seconds, it prints the images a second of two ways, each
in the best of four batch sizes: a live model with one patch on, in a compute format; and torch's
plain forward pass of the clean model.
"""

__all__ = ["BATCHES", "best_batch", "images_per_second", "main"]

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from rwsstore.models import load_clean_model
from rwsstore.runtime import LiveModel, compute_format
from rwsstore.store import Store

BATCHES = (8, 16, 32, 64)
"""The batch sizes that are tried."""

_TRIALS = 5

Way = Callable[[Tensor], object]
Clock = Callable[[], float]


def images_per_second(
    way: Way, images: Tensor, seconds: float, *, clock: Clock = time.perf_counter
) -> float:
    """Compute the same batch again and again.

    Args:
        way: what computes it.
        images: uint8 [B, 3, H, W].
        seconds: at least.
        clock: seconds, ever rising.
    """
    way(images)
    batches, start = 0, clock()
    while (passed := clock() - start) < seconds or not batches:
        way(images)
        batches += 1
    return batches * len(images) / passed


def best_batch(way: Way, images: Tensor, *, clock: Clock = time.perf_counter) -> Tensor:
    """Find the first images that make the fastest batch: by the median of a few trials.

    Args:
        way: what computes it.
        images: uint8 [B, 3, H, W]; as many as the largest batch has.
        clock: seconds, ever rising.
    """
    rates = {}
    for size in BATCHES:
        batch = images[:size]
        trials = [images_per_second(way, batch, 0.0, clock=clock) for _ in range(_TRIALS)]
        rates[size] = statistics.median(trials)
    return images[: max(rates, key=lambda size: rates[size])]


def main() -> None:
    """Answer every line of the standard input."""
    model, store, patch, compute, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    ways = _ways(Path(model), Path(store), patch, compute)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (BATCHES[-1], 3, 32, 32), dtype=torch.uint8, generator=generator)
    best = {name: best_batch(way, images) for name, way in ways.items()}
    for line in sys.stdin:
        each = float(line) / len(ways)
        found = {name: images_per_second(way, best[name], each) for name, way in ways.items()}
        print(json.dumps(found), flush=True)


def _ways(model: Path, store: Path, patch: str, compute: str) -> dict[str, Way]:
    clean = load_clean_model(model).requires_grad_(False)
    live = LiveModel(clean, Store(store), compute=compute_format(compute))
    variant = live.variant({patch: 1.0})
    return {
        compute: lambda images: live.predict_mixed(images, [variant] * len(images)),
        "plain torch": torch.inference_mode()(clean),
    }


if __name__ == "__main__":
    main()
