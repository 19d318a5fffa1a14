"""Numerical building blocks that several corruptions share: pure functions on tensors."""

__all__ = [
    "borders",
    "canny",
    "colour",
    "distance",
    "filters",
    "histogram",
    "levels",
    "plasma",
    "resampling",
    "streaks",
]
