"""The learning rate over a run."""

__all__ = ["learning_rate"]

import math


def learning_rate(step: int, total: int, *, peak: float, warmup: float) -> float:
    """Linear from near zero to the peak, then a half cosine to zero.

    Args:
        step: 0 to total − 1.
        total: steps of the whole run.
        peak: the largest learning rate.
        warmup: share of the steps that rise.
    """
    rising = int(total * warmup)
    if step < rising:
        return peak * (step + 1) / rising
    done = (step - rising) / max(1, total - rising)
    return peak * 0.5 * (1 + math.cos(math.pi * done))
