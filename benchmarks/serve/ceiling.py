"""The ceiling: what the same model computes in a process that does nothing else.

    python -m serve.ceiling MODEL STORE PATCH FORMAT THREADS

For each line of its input, a number of seconds, it prints the images a second of two ways, each
in the best of four batch sizes: a live model with one patch on, in a compute format; and torch's
plain forward pass of the clean model.
"""

import contextlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from speed_rows.row import RowSettings
from torch import Tensor

from rwsstore.models import load_clean_model
from rwsstore.runtime import LiveModel, compute_format
from rwsstore.store import Store
from serve.processes import Child
from serve.server import environment
from serve.services import Work

BATCHES = (8, 16, 32, 64)
"""The batch sizes that are tried."""

_TRIALS = 5

Way = Callable[[Tensor], object]
Clock = Callable[[], float]


def images_per_second(
    way: Way, images: Tensor, seconds: float, *, clock: Clock = time.perf_counter
) -> float:
    """Compute the same batch, uint8 [B, 3, H, W], again and again, for so many seconds at least."""
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
        images: uint8 [64, 3, H, W].
        clock: seconds, ever rising.
    """
    rates = {}
    for size in BATCHES:
        batch = images[:size]
        trials = [images_per_second(way, batch, 0.0, clock=clock) for _ in range(_TRIALS)]
        rates[size] = statistics.median(trials)
    return images[: max(rates, key=lambda size: rates[size])]


class Ceiling:
    """A process, its input and output piped, that measures when asked to, and is paused else."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def measure(self, seconds: float) -> Mapping[str, float]:
        """Say how many images a second each way computes.

        Args:
            seconds: for both together.

        Raises:
            BenchmarkError: the process ended.
        """
        question, answer = self._child.process.stdin, self._child.process.stdout
        assert question is not None
        assert answer is not None
        line = b""
        with self._child.awake(), contextlib.suppress(BrokenPipeError):
            question.write(f"{seconds}\n".encode())
            question.flush()
            line = answer.readline()
        if not line:
            raise self._child.failure("(the ceiling) ended")
        found: Mapping[str, float] = json.loads(line)
        return found


@contextmanager
def ceiling(work: Work, settings: RowSettings, *, compute: str) -> Iterator[Ceiling]:
    """Start the process, with as many threads as a service gets."""
    with Child(
        [sys.executable, "-m", "serve.ceiling", str(work.model), str(work.store),
         work.patches[0], compute, str(settings.threads)],
        environment=environment(settings.threads),
        log=work.folder / "ceiling.log",
        piped=True,
    ) as child:  # fmt: skip
        process = Ceiling(child)
        process.measure(0.0)  # loaded, its batch sizes chosen, and paused from here on
        yield process


def main() -> None:
    """Answer every line of the standard input."""
    model, store, patch, compute, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    clean = load_clean_model(Path(model)).requires_grad_(False)
    live = LiveModel(clean, Store(Path(store)), compute=compute_format(compute))
    variant = live.variant({patch: 1.0})
    ways: dict[str, Way] = {
        compute: lambda images: live.predict_mixed(images, [variant] * len(images)),
        "plain torch": torch.inference_mode()(clean),
    }
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (BATCHES[-1], 3, 32, 32), dtype=torch.uint8, generator=generator)
    best = {name: best_batch(way, images) for name, way in ways.items()}
    for line in sys.stdin:
        each = float(line) / len(ways)
        found = {name: images_per_second(way, best[name], each) for name, way in ways.items()}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
