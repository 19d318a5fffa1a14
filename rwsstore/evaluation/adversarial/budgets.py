"""Budgets of an attack, as people write them: 8/255, 0.03."""

__all__ = ["DEFAULT_BUDGETS", "budget_name", "parse_budgets"]

import math
import re
from collections.abc import Mapping
from types import MappingProxyType

from rwsstore.errors import ConfigError

DEFAULT_BUDGETS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {"linf": (1 / 255, 2 / 255, 4 / 255, 8 / 255), "l2": (0.125, 0.25, 0.5, 1.0)}
)
"""By norm, for images in [0, 1]; our own choice, up to the customary 8/255."""

_NUMBER = re.compile(r"\d+(\.\d*)?(e-?\d+)?|\.\d+(e-?\d+)?", re.ASCII)


def parse_budgets(text: str) -> tuple[float, ...]:
    """Read `8/255`, `2/255,8/255` or `0.01,0.03`.

    Returns:
        From the smallest to the largest.

    Raises:
        ConfigError: one is no number above 0, or is there twice.
    """
    budgets = sorted(_parse(part.strip()) for part in text.split(","))
    if len(set(budgets)) != len(budgets):
        raise ConfigError(f"epsilon {text!r} names a budget twice")
    return tuple(budgets)


def _parse(text: str) -> float:
    above, slash, below = (part.strip() for part in text.partition("/"))
    numbers = [above, below] if slash else [above]
    if all(len(number) <= 32 and _NUMBER.fullmatch(number) for number in numbers):
        top, bottom = float(above), float(below or 1)
        if bottom > 0 and 0 < top / bottom < math.inf:
            return top / bottom
    raise ConfigError(f"epsilon {text!r}; expected a number above 0, as in 8/255 or 0.03")


def budget_name(epsilon: float) -> str:
    """Write a budget: in 255ths where it is so many, as the number otherwise."""
    steps = round(255 * epsilon)
    if 0 < steps < 255 and math.isclose(255 * epsilon, steps, rel_tol=1e-9):
        return f"{steps}/255"
    return f"{epsilon:.4g}"
