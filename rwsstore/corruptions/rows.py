"""A corruption's row, which stands directly above its function, and all of them by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from rwsstore.corruptions.severity import SEVERITIES, Numbers, Rule, linear, severity_table
from rwsstore.errors import ConfigError

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
        _sort([*ROWS.values(), row])
        return function

    return declared


def _sort(rows: list[Corruption]) -> None:
    groups = get_args(Group)
    rows.sort(key=lambda row: groups.index(row.group))
    ROWS.clear()
    ROWS.update((row.name, row) for row in rows)
    for group in groups:
        NAMES_BY_GROUP[group] = tuple(row.name for row in rows if row.group == group)
