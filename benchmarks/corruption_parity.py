"""How closely the 19 corruptions agree with their references.

    python benchmarks/corruption_parity.py [--write docs/understand/corruptions-parity.md]

Deterministic corruptions, and noises given the noise, are compared pixel by pixel. Random ones are
compared in distribution, on the same images: mean, deviation, radial power spectrum, and the
accuracy of a classifier trained here on clean images. ImageNet's constants throughout, because
the references have no others.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from corruption_references import IN_DISTRIBUTION, PIXEL_BY_PIXEL
from torch import Tensor, nn

from rwsstore.corruptions import CORRUPTIONS, corrupt
from rwsstore.data import load_images
from rwsstore.tables import Table

TABLE = "imagenet"
SIDE = 64
SEVERITY = 3
DRAWS = 3
TOLERANCES = {"mean": 2.0, "deviation": 0.04, "spectrum": 0.2, "accuracy": 3.0}
"""Levels; share; share in any frequency band; percentage points."""


@dataclass(frozen=True)
class Agreement:
    """How far one corruption is from its reference, in figures and in words."""

    name: str
    reference: str
    figures: Mapping[str, float]
    told: str
    tolerance: str
    holds: bool


def by_pixel(name: str, reference: str, ours: Tensor, theirs: Tensor) -> Agreement:
    """The largest difference in levels, and the share of values that differ."""
    off = (ours.int() - theirs.int()).abs()
    worst, differing = int(off.max()), float((off > 0).double().mean())
    return Agreement(
        name,
        reference,
        {"worst": worst, "differing": differing},
        f"largest difference {worst} levels; {100 * differing:.3f} % of values differ",
        "1 level",
        holds=worst <= (0 if name == "jpeg_compression" else 1),
    )


def spectrum(images: Tensor) -> Tensor:
    """Mean power in bands of spatial frequency, of the images' grey values."""
    grey = images.double().mean(1)
    grey = grey - grey.mean((1, 2), keepdim=True)
    power = torch.fft.fft2(grey).abs().square().mean(0)
    side = grey.shape[-1]
    line = torch.fft.fftfreq(side, 1 / side)
    radius = (line[:, None] ** 2 + line**2).sqrt()
    edges = torch.tensor([1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0]) * (side / 64)
    bands = torch.bucketize(radius, edges)
    return torch.stack([power[bands == band].mean() for band in range(1, len(edges))])


def distribution(
    name: str, reference: str, ours: Tensor, theirs: Tensor, accuracy: Callable[[Tensor], float]
) -> Agreement:
    """What the tolerances name."""
    first, second = ours.double(), theirs.double()
    own, other = (images.flatten(1).std(1).mean() for images in (first, second))
    bands = (spectrum(ours) + 1.0) / (spectrum(theirs) + 1.0)
    right = accuracy(ours), accuracy(theirs)
    found = {
        "mean": float(first.mean() - second.mean()),
        "deviation": float(own / other - 1),
        "spectrum": float((bands - 1).abs().max()),
        "accuracy": right[0] - right[1],
    }
    return Agreement(
        name,
        reference,
        found,
        f"mean {found['mean']:+.2f} levels; deviation {100 * found['deviation']:+.1f} %; "
        f"spectrum within {100 * found['spectrum']:.1f} %; "
        f"accuracy {right[0]:.1f} against {right[1]:.1f} %",
        "2 levels; 4 %; 20 %; 3 points",
        holds=all(abs(found[figure]) <= most for figure, most in TOLERANCES.items()),
    )


def classifier(images: Tensor, labels: Tensor, epochs: int = 8) -> nn.Module:
    """A small network trained on clean images."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for channels, out in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(channels, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
    classes = int(labels.max()) + 1
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(256, classes))
    steps = epochs * (len(images) // 64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps + 1)
    for step in range(steps):
        if step % (len(images) // 64) == 0:
            order = torch.randperm(len(images))
        some = order[(step * 64) % (len(images) - 63) :][:64]
        loss = F.cross_entropy(model(images[some].float() / 255 - 0.5), labels[some])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    return model.eval()


def percent_right(model: nn.Module, labels: Tensor) -> Callable[[Tensor], float]:
    def accuracy(images: Tensor) -> float:
        with torch.no_grad():
            parts = [model(part.float() / 255 - 0.5).argmax(1) for part in torch.split(images, 200)]
        found = torch.cat(parts)
        return 100 * float((found == labels.repeat(len(found) // len(labels))).double().mean())

    return accuracy


def load(data: str, count: int, side: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images and labels to train on, and as many others as are asked for."""
    sets = [load_images(data, split) for split in ("train", "test")]
    images = torch.cat([one.images for one in sets])
    labels = torch.cat([one.labels for one in sets])
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[: 8 * count]
    images, labels = images[order], labels[order]
    large = F.interpolate(images.float(), size=(side, side), mode="bilinear", antialias=True)
    if data == "digits":
        large = coloured(large)
    large = large.round().clamp(0, 255).to(torch.uint8)
    return large[count:], labels[count:], large[:count], labels[:count]


def coloured(images: Tensor) -> Tensor:
    """Give white digits on black two random colours, a light one and a shaded dark one."""
    generator = torch.Generator().manual_seed(0)
    ink = 120 + 135 * torch.rand(len(images), 3, 1, 1, generator=generator)
    ground = 110 * torch.rand(len(images), 3, 2, 2, generator=generator)
    ground = F.interpolate(ground, size=images.shape[-2:], mode="bilinear")
    return ground + (ink - ground) * (images / 255)


def compare(
    images: Tensor, accuracy: Callable[[Tensor], float], names: tuple[str, ...] = tuple(CORRUPTIONS)
) -> Iterator[Agreement]:
    """Hold corruptions against their references, which see the same images."""
    for name in names:
        print(f"\r{name:20}", end="", file=sys.stderr)
        if name in PIXEL_BY_PIXEL:
            words, reference = PIXEL_BY_PIXEL[name]
            ours = corrupt(images, name, SEVERITY, seed=0, table=TABLE)
            yield by_pixel(name, words, ours, reference(images, SEVERITY))
        for words, own, reference in IN_DISTRIBUTION.get(name, ()):
            np.random.seed(0)  # noqa: NPY002  # the package's generator
            many = images.repeat(DRAWS, 1, 1, 1)
            theirs = reference(many, SEVERITY)
            yield distribution(name, words, own(many, SEVERITY), theirs, accuracy)
    print(file=sys.stderr)


def page(rows: list[Agreement], data: str, count: int, clean: float) -> str:
    words = "scikit-learn's digits in random colours" if data == "digits" else data
    cells = [(f"`{row.name}`", row.reference, row.told, row.tolerance) for row in rows]
    table = Table.of(("corruption", "reference", "figure", "tolerance"), cells, left=4)
    return f"""# Corruptions against their references

Made by

    python benchmarks/corruption_parity.py --write docs/understand/corruptions-parity.md

on {count} images ({words}) at {SIDE} px, severity {SEVERITY},
ImageNet's constants. The deterministic corruptions, and the noises given their noise, are compared
pixel by pixel. Where the exact result is a whole level, a reference's float arithmetic may fall
just below it and lose that level to truncation (16 % of the values of `saturate`, whose largest
channel stays as it is); ours counts it as the whole level.

The random ones are compared in distribution, on {DRAWS} draws of the same images: the mean; the
deviation within an image; the power spectrum of the grey values in nine bands of frequency, the
largest difference of any band; and the accuracy of a small classifier trained on clean images
({clean:.1f} % on the clean ones), ours first. `frost` is the one with photographs: without a folder
of them it is synthetic, and its statistics are those of its table of profiles
(`tests/corruptions/weather/test_frost.py`).

"The package" is imagecorruptions-imaug 1.1.5.

{table.to_markdown()}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--data", default="digits", help="a data set as rwsstore.data names it")
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--write", type=Path, metavar="PAGE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    train, train_labels, images, labels = load(arguments.data, arguments.images, SIDE)
    accuracy = percent_right(classifier(train, train_labels), labels)
    rows = list(compare(images, accuracy))
    text = page(rows, arguments.data, len(images), accuracy(images))
    print(text)
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")
    failed = [row.name for row in rows if not row.holds]
    if failed:
        raise SystemExit(f"beyond the tolerance: {', '.join(failed)}")


if __name__ == "__main__":
    main()
