"""Sides that are measured in turns, so that what slows the machine down slows all of them."""

__all__ = ["Side", "take_turns"]

from collections.abc import Callable, Mapping

Side = Callable[[], float]
"""Measures one side for one window; its figure."""


def take_turns(repeats: int, sides: Mapping[str, Side]) -> dict[str, tuple[float, ...]]:
    """Measure every side in each repetition, every second time in the opposite order.

    Args:
        repeats: how many repetitions.
        sides: by name.

    Returns:
        of each side its figures, one a repetition
    """
    found: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(repeats):
        order = list(sides)
        for name in reversed(order) if repeat % 2 else order:
            found[name].append(sides[name]())
    return {name: tuple(values) for name, values in found.items()}
