"""The benchmark's constants: five severities of each corruption, at three sizes, and between.

A whole severity has exactly the table's constants. In between, each constant goes in a straight
line from one severity's to the next one's; what cannot, because it is a count or a choice, has a
rule of its own, which the corruption's row in the registry names. Where no constants lie between
the two, both images are made and mixed.
"""

import json
import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal, get_args

from rwsstore.errors import ConfigError, UnknownNameError

SEVERITIES = (1, 2, 3, 4, 5)
"""The severities, from hardly visible to severe."""

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class SeverityTable:
    """The constants for images of one resolution.

    Attributes:
        name: `cifar`, `tiny_imagenet` or `imagenet`.
        side: the side, in pixels, of the images that the constants were chosen for.
        frost_scale: factor by which frost photographs shrink before they are cropped.
        numbers: corruption name to its five tuples of constants, severity 1 first.
    """

    name: str
    side: int
    frost_scale: float
    numbers: Mapping[str, tuple[Numbers, ...]]

    def note(self, height: int, width: int) -> str:
        """Say which constants these are, and of what size the images are where that differs."""
        made = f"constants of {self.name}, made for {self.side} px"
        if min(height, width) == self.side:
            return made
        return f"{made}, on images of {width} x {height} px"


@lru_cache(maxsize=1)
def _tables() -> dict[str, SeverityTable]:
    data = json.loads(resources.files(__package__).joinpath("severity.json").read_text("ascii"))
    return {
        name: SeverityTable(
            name=name,
            side=data["sides"][name],
            frost_scale=data["frost_overlay_scale"][name],
            numbers={key: tuple(map(tuple, rows)) for key, rows in table.items()},
        )
        for name, table in data["tables"].items()
    }


def severity_table(name: str) -> SeverityTable:
    """Find a table by name.

    Raises:
        UnknownNameError: there is no such table.
    """
    tables = _tables()
    if name not in tables:
        raise UnknownNameError("severity table", name, tables)
    return tables[name]


def table_for(height: int, width: int) -> SeverityTable:
    """Choose the table for an image size in pixels.

    The constants are lengths in pixels or were tuned for one size, so the table whose side is
    nearest to the shorter side by ratio is taken: `cifar` up to 45 px, `tiny_imagenet` up to
    119 px, `imagenet` from 120 px on.
    """
    short = min(height, width)
    return min(_tables().values(), key=lambda table: abs(math.log(short / table.side)))


def check_severity(severity: object) -> float:
    """Refuse a severity that is not a number from 1 to 5.

    Returns:
        A whole one as an int, another one as a float.

    Raises:
        ConfigError: it is something else; `True` is not taken for 1.
    """
    if isinstance(severity, bool) or not isinstance(severity, numbers.Real):
        raise ConfigError(f"severity is {severity!r}; expected a number from 1 to 5")
    value = float(severity)
    if not SEVERITIES[0] <= value <= SEVERITIES[-1]:  # not NaN either
        raise ConfigError(f"severity is {severity!r}; expected a number from 1 to 5")
    return int(value) if value.is_integer() else value


Rule = Callable[[Numbers, Numbers, float], Numbers | None]
"""The constants of the severity below, those of the one above, how far up (0 to 1): those between.

None stands for mixing the two images.
"""


def linear(below: Numbers, above: Numbers, share: float) -> Numbers:
    """Interpolate every constant."""
    return tuple(_mix(low, high, share) for low, high in zip(below, above, strict=True))


def whole_at(*places: int) -> Callable[[Numbers, Numbers, float], Numbers]:
    """A rule that interpolates and rounds the constants at `places`, which are counts.

    A half is rounded towards the severity above.
    """

    def rule(below: Numbers, above: Numbers, share: float) -> Numbers:
        mixed = list(linear(below, above, share))
        for place in places:
            up = above[place] >= below[place]
            value = mixed[place]
            mixed[place] = math.floor(value + 0.5) if up else math.ceil(value - 0.5)
        return tuple(mixed)

    return rule


def zoom_factors(below: Numbers, above: Numbers, share: float) -> Numbers:
    """Zoom factors, evenly spaced from 1.

    The largest is interpolated; so is how many there are, and rounded, a half upwards.
    """
    count = math.floor(_mix(len(below), len(above), share) + 0.5)
    reach = _mix(max(below), max(above), share) - 1.0
    return tuple(1.0 + reach * step / (count - 1) for step in range(count))


def mixed_images(below: Numbers, above: Numbers, share: float) -> None:
    """Mix the two images: for kernels that constants change by whole pixels, in jumps."""


def liquid(below: Numbers, above: Numbers, share: float) -> Numbers | None:
    """Spatter: its last constant chooses water or mud, the one before means something else in each.

    Constants are interpolated where both severities have the same kind; else images are mixed.
    """
    return linear(below, above, share) if below[-1] == above[-1] else None


def _mix(low: float, high: float, share: float) -> float:
    return low + share * (high - low)


if TYPE_CHECKING:
    from torch import Tensor

    from rwsstore.corruptions.keys import Setting

Group = Literal["noise", "blur", "weather", "digital"]
Function = Callable[["Tensor", "Setting"], "Tensor"]

FLAT = "images of one colour"
BLACK = "black images"


@dataclass(frozen=True)
class Corruption:
    """One kind of corruption.

    Attributes:
        name: the benchmark's name for it, and its function's.
        group: noise, blur, weather or digital.
        function: does the work: contiguous uint8 levels [B, C, H, W] and a setting to uint8 levels
            of the same shape. It changes none of its arguments, and an image's result does not
            depend on the others in the batch. Its text names the setting's numbers in order.
        summary: one line for lists.
        needs_colour: `function` takes three channels only; grey images go through three equal
            ones.
        is_random: whether it draws random numbers.
        between: mixes the constants of two neighbouring severities.
        spares: the images that it cannot change, in words; empty where there are none.
        numbers: its constants at images of any size, severity 1 first; empty: severity.json's.
    """

    name: str
    group: Group
    function: Function
    summary: str
    needs_colour: bool = False
    is_random: bool = True
    between: Rule = linear
    spares: str = ""
    numbers: tuple[Numbers, ...] = ()

    def constants(self, table: SeverityTable, severity: float) -> tuple[Numbers, ...]:
        """The table's constants at a whole severity, else what `between` makes of two.

        Where it makes nothing of them, these two: their images are mixed.
        """
        rows, step = self.numbers or table.numbers[self.name], int(severity)
        if severity == step:
            return (rows[step - 1],)
        below, above = rows[step - 1 : step + 1]
        between = self.between(below, above, severity - step)
        return (below, above) if between is None else (between,)


ROWS: dict[str, Corruption] = {}
"""Corruptions by name, group by group, in the order in which their files have them."""

NAMES_BY_GROUP: dict[str, tuple[str, ...]] = {}
"""Names of the corruptions in each group."""


def corruption(group: Group, summary: str, **others: Any) -> Callable[[Function], Function]:
    """Declare a function as a corruption of its name; `others` are further fields of the row.

    Raises:
        ConfigError: there is one of that name, or `numbers` are neither five nor severity.json's.
    """

    def declared(function: Function) -> Function:
        row = Corruption(function.__name__, group, function, summary, **others)
        if row.name in ROWS:
            raise ConfigError(f"there is a corruption {row.name!r} already; name it otherwise")
        if len(row.numbers) != len(SEVERITIES) and (
            row.numbers or row.name not in severity_table("cifar").numbers
        ):
            raise ConfigError(
                f"corruption {row.name!r} has constants for {len(row.numbers)} severities; "
                "expected numbers=(...), five tuples, severity 1 first"
            )
        groups = get_args(Group)
        rows = sorted([*ROWS.values(), row], key=lambda row: groups.index(row.group))
        ROWS.clear()
        ROWS.update((row.name, row) for row in rows)
        for name in groups:
            NAMES_BY_GROUP[name] = tuple(row.name for row in rows if row.group == name)
        return function

    return declared
