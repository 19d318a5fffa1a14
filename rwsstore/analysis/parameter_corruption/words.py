"""How p and n are written."""

__all__ = ["norm_word", "number_word"]

import math


def norm_word(p: float) -> str:
    """Write p: ∞, or the number."""
    return "∞" if p == math.inf else f"{p:g}"


def number_word(n: int | None) -> str:
    """Write n: all, or the number."""
    return "all" if n is None else str(n)
