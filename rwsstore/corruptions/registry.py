"""The 19 corruptions of the benchmark, one row each, and how to name several of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from torch import Tensor

from rwsstore.corruptions import blur, digital, frost, noise, weather
from rwsstore.corruptions.keys import Setting
from rwsstore.corruptions.severity import Rule, linear, liquid, mixed_images, whole_at, zoom_factors
from rwsstore.errors import ConfigError, UnknownNameError

Group = Literal["noise", "blur", "weather", "digital"]


@dataclass(frozen=True)
class Corruption:
    """One kind of corruption.

    Attributes:
        name: the benchmark's name for it.
        group: noise, blur, weather or digital.
        function: does the work: contiguous uint8 levels [B, C, H, W] and a setting to uint8 levels
            of the same shape. It changes none of its arguments, and an image's result does not
            depend on the others in the batch.
        summary: one line for lists.
        needs_colour: `function` takes three channels only; grey images go through three equal
            ones.
        is_random: whether it draws random numbers.
        between: mixes the constants of two neighbouring severities.
        spares: the images that it cannot change, in words; empty where there are none.
    """

    name: str
    group: Group
    function: Callable[[Tensor, Setting], Tensor]
    summary: str
    needs_colour: bool = False
    is_random: bool = True
    between: Rule = linear
    spares: str = ""


_FLAT = "images of one colour"
_BLACK = "black images"

_ROWS = (
    Corruption("gaussian_noise", "noise", noise.gaussian_noise, "normal noise, as in low light"),
    Corruption(
        "shot_noise", "noise", noise.shot_noise, "Poisson noise of single photons", spares=_BLACK
    ),
    Corruption("impulse_noise", "noise", noise.impulse_noise, "salt and pepper from bit errors"),
    Corruption(
        "speckle_noise",
        "noise",
        noise.speckle_noise,
        "noise in proportion to brightness",
        spares=_BLACK,
    ),
    Corruption(
        "defocus_blur",
        "blur",
        blur.defocus_blur,
        "a lens out of focus",
        is_random=False,
        between=mixed_images,
        spares=_FLAT,
    ),
    Corruption(
        "glass_blur",
        "blur",
        blur.glass_blur,
        "seen through frosted glass",
        between=whole_at(1, 2),
        spares=_FLAT,
    ),
    Corruption(
        "motion_blur",
        "blur",
        blur.motion_blur,
        "a camera moving sideways",
        between=whole_at(0),
        spares=_FLAT,
    ),
    Corruption(
        "zoom_blur",
        "blur",
        blur.zoom_blur,
        "a camera moving forwards",
        is_random=False,
        between=zoom_factors,
        spares=_FLAT,
    ),
    Corruption(
        "gaussian_blur",
        "blur",
        blur.gaussian_blur,
        "a plain Gaussian blur",
        is_random=False,
        spares=_FLAT,
    ),
    Corruption(
        "snow",
        "weather",
        weather.snow,
        "snowflakes and a whitened scene",
        needs_colour=True,
        between=whole_at(4),
    ),
    Corruption("frost", "weather", frost.frost, "ice crystals on the lens", needs_colour=True),
    Corruption("fog", "weather", weather.fog, "a veil of fog", spares=_BLACK),
    Corruption(
        "brightness",
        "weather",
        weather.brightness,
        "too much light",
        is_random=False,
        spares="images at full brightness",
    ),
    Corruption(
        "spatter",
        "weather",
        weather.spatter,
        "rain or mud on the lens",
        needs_colour=True,
        between=liquid,
        spares="images that no drop hits",
    ),
    Corruption(
        "contrast",
        "digital",
        digital.contrast,
        "too little contrast",
        is_random=False,
        spares=_FLAT,
    ),
    Corruption(
        "elastic_transform",
        "digital",
        digital.elastic_transform,
        "a rubber-sheet warp",
        spares=_FLAT,
    ),
    Corruption(
        "pixelate", "digital", digital.pixelate, "too few pixels", is_random=False, spares=_FLAT
    ),
    Corruption(
        "jpeg_compression",
        "digital",
        digital.jpeg_compression,
        "JPEG artefacts",
        is_random=False,
        between=whole_at(0),
        spares=_FLAT,
    ),
    Corruption(
        "saturate",
        "digital",
        digital.saturate,
        "colours too pale or too vivid",
        needs_colour=True,
        is_random=False,
        spares="grey images",
    ),
)

CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType({row.name: row for row in _ROWS})
"""Corruptions by name, group by group."""

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        group: tuple(row.name for row in _ROWS if row.group == group)
        for group in dict.fromkeys(row.group for row in _ROWS)
    }
)
"""Names of the corruptions in each group."""


def find_corruption(name: str) -> Corruption:
    """Find a corruption by name.

    Raises:
        UnknownNameError: there is no such corruption.
    """
    if name not in CORRUPTIONS:
        raise UnknownNameError("corruption", name, CORRUPTIONS)
    return CORRUPTIONS[name]


def parse_corruptions(text: str) -> tuple[str, ...]:
    """Read names from a comma-separated list of corruptions, groups and `all`.

    Returns:
        Names in the order given, each once; a group's or all in the registry's order.

    Raises:
        UnknownNameError: an entry is none of these.
        ConfigError: the list is empty.
    """
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    if not entries:
        raise ConfigError("no corruption is named; expected 'all', a group or names such as 'fog'")
    sets = {"all": tuple(CORRUPTIONS), **GROUPS, **{name: (name,) for name in CORRUPTIONS}}
    for entry in entries:
        if entry not in sets:
            raise UnknownNameError("corruption", entry, sets)
    return tuple(dict.fromkeys(name for entry in entries for name in sets[entry]))
