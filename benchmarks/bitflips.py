"""What a survey of bit flips costs, against running the whole model for each flip.

    python benchmarks/bitflips.py [--json] [--flips 2000] [--naive 60] [--images 250] [--width 1.0]

The flips are drawn evenly over the parameters of VGG-16: the bundled model, or with --width one of
that width with weights as they are drawn. The naive way takes the same time for every flip, so it
is measured on some of the flips, half of them before and half after the survey, and counted up.
Times are of the processor, in one thread, so that what else the machine does hits both alike. Both
ways have to count the same images as right. The images are noise, labelled as the model sees them.
"""

import argparse
import json
import time
from dataclasses import replace

import torch

from rwsstore.bundled import bundled_model
from rwsstore.data import ImageSet
from rwsstore.models import Classifier, ModelSpec, build
from rwsstore.probes.bitflips import Sites, StoredWeights, Survey, sample_sites, survey


def network(width: float | None) -> Classifier:
    if width is None:
        return bundled_model()
    return build(ModelSpec(network="vgg16", num_classes=10, width=width, folded=True)).eval()


def noise(model: Classifier, count: int) -> ImageSet:
    """Coarse noise, uint8 [count, 3, 32, 32], labelled with what the model takes it for."""
    generator = torch.Generator().manual_seed(0)
    cells = torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=generator)
    images = cells.repeat_interleave(4, 2).repeat_interleave(4, 3)
    with torch.no_grad():
        labels = model(images).argmax(1)
    return ImageSet(images, labels, tuple(map(str, range(10))), "noise")


def some(sites: Sites, positions: slice) -> Sites:
    return replace(
        sites,
        array=sites.array[positions],
        index=sites.index[positions],
        bit=sites.bit[positions],
    )


def timed(
    memory: StoredWeights, images: ImageSet, sites: Sites, *, replay: bool
) -> tuple[Survey, float]:
    start = time.process_time()
    found = survey(memory, images, sites, batch_size=len(images), replay=replay)
    return found, time.process_time() - start


def measure(width: float | None, flips: int, naive: int, count: int) -> dict[str, float]:
    model = network(width)
    memory, images = StoredWeights(model), noise(model, count)
    sites = sample_sites(memory, flips, bits="exponent", seed=0)
    timed(memory, images, some(sites, slice(1)), replay=False)  # whatever is slow once
    parts = slice(naive // 2), slice(naive // 2, naive)
    before, first = timed(memory, images, some(sites, parts[0]), replay=False)
    found, seconds = timed(memory, images, sites, replay=True)
    after, second = timed(memory, images, some(sites, parts[1]), replay=False)
    counted = torch.cat((before.right, after.right))
    whole = (first + second) / naive
    return {
        "flips": flips,
        "images": count,
        "naive_ms_a_flip": 1000 * whole,
        "survey_ms_a_flip": 1000 * seconds / flips,
        "ratio": whole * flips / seconds,
        "counted_otherwise": int((counted != found.right[:naive]).sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--flips", type=int, default=2000)
    parser.add_argument(
        "--naive", type=int, default=60, help="flips that the naive way is timed on"
    )
    parser.add_argument("--images", type=int, default=250)
    parser.add_argument("--width", type=float)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(arguments.width, arguments.flips, arguments.naive, arguments.images)
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        print(f"{name:20} {value:12,.2f}")


if __name__ == "__main__":
    main()
