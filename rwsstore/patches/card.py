"""The robustness card: what a patch buys and what it costs, over a grid of strengths."""

__all__ = ["CardPoint", "RobustnessCard"]

from itertools import pairwise
from typing import Annotated

from pydantic import Field, model_validator

from rwsstore.errors import ConfigError
from rwsstore.patches.fields import Alpha, Frozen, Int64, Percent


class CardPoint(Frozen):
    """Accuracies at one strength.

    Attributes:
        alpha: strength of the patch.
        ta: accuracy on clean images, in percent.
        ra: accuracy on images with the patch's corruption at its severity, in percent.
    """

    alpha: Alpha
    ta: Percent
    ra: Percent


class RobustnessCard(Frozen):
    """TA and RA over a grid of strengths, measured when the patch was extracted.

    Attributes:
        images: how many images each accuracy was measured on.
        points: by rising α, from 0 (no patch).
    """

    images: Annotated[Int64, Field(gt=0)]
    points: Annotated[tuple[CardPoint, ...], Field(min_length=2, max_length=1000)]

    @model_validator(mode="after")
    def _check_grid(self) -> "RobustnessCard":
        if self.points[0].alpha != 0:
            raise ValueError("the first point of a card is α = 0, the model without the patch")
        if any(left.alpha >= right.alpha for left, right in pairwise(self.points)):
            raise ValueError("the points of a card stand by rising α, none twice")
        return self

    def alpha_for(self, ta_loss: float, *, at_most: float) -> float:
        """Find the strength whose cost in clean accuracy stays within a budget.

        TA is interpolated linearly between the points. The answer is the largest α such that no
        α up to it costs more than the budget.

        Args:
            ta_loss: points of TA that may be lost, 0 or more.
            at_most: largest α to return; beyond a patch's recommended strength TA is paid for
                nothing.

        Raises:
            ConfigError: the budget is negative or not finite.
        """
        if not 0 <= ta_loss < float("inf"):
            raise ConfigError(
                f"ta_loss is {ta_loss!r}; expected a finite number of points, 0 or more"
            )
        floor = self.points[0].ta - ta_loss
        for left, right in pairwise(self.points):
            if right.ta < floor:
                share = (left.ta - floor) / (left.ta - right.ta)
                return min(left.alpha + share * (right.alpha - left.alpha), at_most)
        return min(self.points[-1].alpha, at_most)
