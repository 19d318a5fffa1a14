"""Which flips cost how much, by whole numbers alone, so that no border is a matter of rounding."""

__all__ = ["DECILES", "adjusted_decile", "erratic", "rad_decile"]

from torch import Tensor

from rwsstore.analysis.bitflips.surveying import Survey

DECILES = tuple(f"{10 * tenth}-{10 * tenth + 10} %" for tenth in range(10))
"""Each holds the drops from its first number on and below its second; the last one 100 % too."""


def rad_decile(survey: Survey) -> Tensor:
    """The decile of RAD of each flip, int64 [S] in 0 … 9; flips that help are in the first."""
    lost = 10 * (survey.clean_right - survey.right)
    return lost.div(survey.clean_right, rounding_mode="floor").clamp(0, 9)


def adjusted_decile(survey: Survey) -> Tensor:
    """The decile of the drop above chance of each flip, int64 [S] in 0 … 9, likewise."""
    above = survey.classes * survey.clean_right - survey.images
    lost = 10 * survey.classes * (survey.clean_right - survey.right)
    return lost.div(above, rounding_mode="floor").clamp(0, 9)


def erratic(survey: Survey) -> Tensor:
    """Which flips have a RAD above 10 %, bool [S]."""
    return 10 * (survey.clean_right - survey.right) > survey.clean_right
