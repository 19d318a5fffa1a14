"""Synthetic frost: random ridges with the measured profile of the benchmark's photographs.

The photographs may not be shipped, so this imitates four of them: their mean colour, their
contrast, their spread of grey values and the slope of their power spectrum at each resolution. It
is not the benchmark's frost, and results on it say so.
"""

__all__ = ["PROFILES", "FrostProfile", "synthetic_frost"]

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from rwsstore.corruptions.keys import ImageKeys
from rwsstore.corruptions.ops.plasma import map_side, plasma


@dataclass(frozen=True)
class FrostProfile:
    """What one photograph looks like.

    Attributes:
        share: how often it is drawn; the shares add up to 1.
        rgb: mean colour, levels 0 to 255.
        deviation: standard deviation within a crop, levels.
        sharpness: how thin the ridges are; chosen for the 5 and 95 % points of the grey values.
        decay: table name to the plasma's decay; chosen for the slope of the power spectrum.
    """

    share: float
    rgb: tuple[float, float, float]
    deviation: float
    sharpness: float
    decay: Mapping[str, float]


PROFILES = (
    FrostProfile(
        share=0.2,
        rgb=(78.0, 148.0, 165.0),
        deviation=14.0,
        sharpness=1.0,
        decay={"cifar": 1.04, "tiny_imagenet": 1.025, "imagenet": 1.07},
    ),
    FrostProfile(
        share=0.4,
        rgb=(198.0, 202.0, 212.0),
        deviation=18.0,
        sharpness=0.3,
        decay={"cifar": 0.99, "tiny_imagenet": 1.05, "imagenet": 1.18},
    ),
    FrostProfile(
        share=0.2,
        rgb=(143.0, 157.0, 170.0),
        deviation=26.0,
        sharpness=0.6,
        decay={"cifar": 0.93, "tiny_imagenet": 0.963, "imagenet": 1.13},
    ),
    FrostProfile(
        share=0.2,
        rgb=(102.0, 114.0, 126.0),
        deviation=35.0,
        sharpness=1.0,
        decay={"cifar": 1.04, "tiny_imagenet": 1.075, "imagenet": 1.105},
    ),
)
"""Photographs 1, 2 (and 3, its copy), 4 and 5 of the benchmark."""


def synthetic_frost(height: int, width: int, table: str, keys: ImageKeys) -> Tensor:
    """Make frost, of a profile drawn for each image.

    A plasma fractal is shifted around its torus, sharpened into ridges 1 / (1 + sharpness·|z|)
    where it crosses zero, and brought to the profile's mean and deviation.

    Args:
        height: of the images.
        width: of the images.
        table: severity table, which stands for the resolution.
        keys: the per-image random numbers.

    Returns:
        float32 [B, 3, height, width], integer levels 0 to 255.
    """
    side = map_side(height, width)
    chance = keys.uniform(3, stream=0)
    bounds = torch.tensor([profile.share for profile in PROFILES]).cumsum(0)[:-1]
    choice = torch.bucketize(chance[:, 0].contiguous(), bounds, right=True)
    decay = torch.tensor([profile.decay[table] for profile in PROFILES], dtype=torch.float64)
    field = plasma(keys.uniform(side * side - 1, stream=1), side, decay[choice])
    field = _rolled(field, chance[:, 1:], height, width)
    moments = torch.tensor(
        [_moments(side, profile.decay[table], profile.sharpness) for profile in PROFILES]
    )
    spread, mean, deviation = moments[choice].view(-1, 3, 1, 1).unbind(1)
    sharpness = torch.tensor([profile.sharpness for profile in PROFILES])[choice].view(-1, 1, 1)
    ridges = (1.0 / (1.0 + sharpness * (field.abs() / spread)) - mean) / deviation
    contrast = torch.tensor([profile.deviation for profile in PROFILES])[choice].view(-1, 1, 1, 1)
    colour = torch.tensor([profile.rgb for profile in PROFILES])[choice].view(-1, 3, 1, 1)
    return (ridges[:, None] * contrast + colour).round_().clamp_(0.0, 255.0)


def _rolled(field: Tensor, chance: Tensor, height: int, width: int) -> Tensor:
    """Cut [B, height, width] out of maps that wrap around, each at an offset of its own."""
    batch, side = field.shape[:2]
    offset = (chance * side).long()
    rows = (torch.arange(height) + offset[:, :1]) % side
    columns = (torch.arange(width) + offset[:, 1:]) % side
    index = rows[:, :, None] * side + columns[:, None, :]
    return field.view(batch, -1).gather(1, index.view(batch, -1)).view(batch, height, width)


@lru_cache(maxsize=64)
def _moments(side: int, decay: float, sharpness: float) -> tuple[float, float, float]:
    """The plasma's deviation, and its ridges' mean and deviation, over a fixed sample.

    Rounded, so that another processor's order of summation gives the same numbers.
    """
    sample = ImageKeys(seed=0, name="frost_moments", severity=1, indices=range(64))
    field = plasma(sample.uniform(side * side - 1), side, decay).numpy().astype(np.float64)
    spread = field.std()
    ridges = 1.0 / (1.0 + sharpness * (np.abs(field) / spread))
    spread, mean, deviation = (
        float(f"{number:.5g}") for number in (spread, ridges.mean(), ridges.std())
    )
    return spread, mean, deviation
