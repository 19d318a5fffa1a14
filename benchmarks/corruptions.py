"""What corrupting images costs, against the package that people use today.

    python benchmarks/corruptions.py [--json] [--sizes 32,64,224] [--constants own|imagenet]
    python benchmarks/corruptions.py --throughput 50000 [--workers 2]

Ours corrupts whole batches, imagecorruptions-imaug one image at a time; severity 5, one thread
each. The two take turns within one run, so that whatever else the machine does hits both, and a
ratio is the median over the turns. The geometric mean leaves out frost (the package spends its
time on reading files) and jpeg_compression (both are Pillow's encoder); both are reported.

The package has ImageNet's constants at every size. Ours takes those of the size, as a user would:
`--constants imagenet` gives it ImageNet's everywhere.
"""

import argparse
import itertools
import json
import math
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import cv2
import imagecorruptions
import torch
import torch.nn.functional as F
from torch import Tensor

from rwsstore.corruptions import CORRUPTIONS, corrupt
from rwsstore.speed import inner_for, time_pairs
from rwsstore.tables import Column, Table

SEVERITY = 5
LEFT_OUT = ("frost", "jpeg_compression")
BATCH = 256
TURNS = 7
# Each gets about this many seconds of every turn.
SECONDS = 0.06


@dataclass(frozen=True)
class Speed:
    """Images per second of one corruption at one size."""

    size: int
    name: str
    ours: float
    theirs: float
    ratio: float


def pictures(count: int, size: int) -> Tensor:
    """Smooth colours with some texture, uint8 [count, 3, size, size]: what photographs cost."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 8, 8, generator=generator)
    smooth = F.interpolate(coarse, size=(size, size), mode="bicubic")
    grain = 0.06 * torch.randn(count, 3, size, size, generator=generator)
    return (smooth + grain).clamp(0, 1).mul(255).to(torch.uint8)


def speed(images: Tensor, name: str, table: str | None) -> Speed:
    """Let the two take turns."""
    single = list(images.permute(0, 2, 3, 1).contiguous().numpy())

    def theirs(count: int) -> None:
        for image in single[:count]:
            imagecorruptions.corrupt(image, corruption_name=name, severity=SEVERITY)

    def ours(batches: int) -> None:
        for _ in range(batches):
            corrupt(images, name, SEVERITY, seed=0, table=table)

    batches = inner_for(partial(ours, 1), seconds=SECONDS)
    count = min(len(single), 2 * inner_for(partial(theirs, 2), seconds=SECONDS))
    pairs = time_pairs(partial(ours, batches), partial(theirs, count), repeats=TURNS, warm_up=0)
    own = [seconds / (batches * len(images)) for seconds in pairs.measured]
    other = [seconds / count for seconds in pairs.against]
    return Speed(
        size=images.shape[-1],
        name=name,
        ours=1 / statistics.median(own),
        theirs=1 / statistics.median(other),
        ratio=statistics.median(late / early for early, late in zip(own, other, strict=True)),
    )


def speeds(sizes: list[int], batch: int, table: str | None) -> Iterator[Speed]:
    for size in sizes:
        images = pictures(batch, size)
        for number, name in enumerate(CORRUPTIONS, 1):
            print(f"\r{size} px: {number} of {len(CORRUPTIONS)}", end="", file=sys.stderr)
            yield speed(images, name, table)
        print(file=sys.stderr)


def summary(found: list[Speed]) -> dict[str, dict[str, float]]:
    """Geometric mean and smallest ratio of each size, without the two that are left out."""
    result = {}
    for size in dict.fromkeys(row.size for row in found):
        ratios = [row.ratio for row in found if row.size == size and row.name not in LEFT_OUT]
        mean = math.exp(statistics.fmean(math.log(ratio) for ratio in ratios))
        result[str(size)] = {"geomean": round(mean, 2), "min": round(min(ratios), 2)}
    return result


def print_speeds(found: list[Speed]) -> None:
    columns = [
        Column("px", "size"),
        Column(
            "corruption",
            lambda row: f"`{row.name}`{' (left out)' if row.name in LEFT_OUT else ''}",
            left=True,
        ),
        Column("ours, images/s", "ours", ",.0f"),
        Column("package, images/s", "theirs", ",.0f"),
        Column("ratio", "ratio", ".1f"),
    ]
    print(Table(columns, found).to_markdown(), end="")
    for size in dict.fromkeys(row.size for row in found):
        own = sum(1e3 / row.ours for row in found if row.size == size)
        other = sum(1e3 / row.theirs for row in found if row.size == size)
        print(f"all 19 at {size} px: {own:.2f} ms an image, the package {other:.2f} ms")


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def corrupt_range(bounds: tuple[int, int]) -> float:
    """Corrupt some of the images with all 19; the peak memory in megabytes."""
    torch.set_num_threads(1)
    base = pictures(1000, 32)
    for start in range(*bounds, len(base)):
        indices = range(start, min(start + len(base), bounds[1]))
        for name in CORRUPTIONS:
            corrupt(base[: len(indices)], name, SEVERITY, seed=0, indices=indices)
        print(f"\r{start - bounds[0]} images", end="", file=sys.stderr)
    return peak_megabytes()


def throughput(count: int, workers: int) -> None:
    """All 19 on so many images of 32 px, shared among processes of one thread each."""
    edges = [count * number // workers for number in range(workers + 1)]
    start = time.perf_counter()
    with ProcessPoolExecutor(workers) as pool:
        peaks = list(pool.map(corrupt_range, itertools.pairwise(edges)))
    seconds = time.perf_counter() - start
    print(file=sys.stderr)
    found = {
        "images": count,
        "corruptions": len(CORRUPTIONS),
        "workers": workers,
        "seconds": round(seconds, 1),
        "peak_megabytes_each": round(max(peaks)),
    }
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="the summary only, in the last line")
    parser.add_argument("--sizes", default="32,64,224")
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--constants", choices=("own", "imagenet"), default="own")
    parser.add_argument("--throughput", type=int, metavar="IMAGES")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.throughput:
        throughput(arguments.throughput, arguments.workers)
        return
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    sizes = [int(size) for size in arguments.sizes.split(",")]
    table = None if arguments.constants == "own" else "imagenet"
    found = list(speeds(sizes, arguments.batch, table))
    print_speeds(found)
    print(f"peak memory of this process, both packages: {peak_megabytes():.0f} MB")
    print(json.dumps(summary(found)))


if __name__ == "__main__":
    main()
