"""Seeded, class-balanced choice of images, the same on every machine.

The only random numbers used are the raw 64-bit outputs of PCG64, whose stream numpy keeps fixed
(the distributions on top of it may change between numpy versions), so a seed names the same
images wherever and whenever it is used.
"""

__all__ = ["balanced_indices"]

import numpy as np
from numpy.typing import NDArray

from rwsstore.errors import ConfigError


def balanced_indices(labels: NDArray[np.int64], n: int, seed: int) -> NDArray[np.int64]:
    """Choose `n` positions so that the classes' counts differ by at most one.

    A class with too few images gives all that it has and the others share the rest. For one
    seed, a smaller choice is part of a larger one.

    Args:
        labels: [N] class of each image.
        n: how many, at most N.
        seed: at least 0.

    Returns:
        int64 [n], rising.

    Raises:
        ConfigError: the seed is negative.
    """
    if seed < 0:
        raise ConfigError(f"the seed is {seed}; it must be 0 or more")
    source = np.random.PCG64(seed)
    shuffled = np.argsort(source.random_raw(len(labels)), kind="stable")
    classes, codes = np.unique(labels, return_inverse=True)
    turn_of_class = np.argsort(np.argsort(source.random_raw(len(classes)), kind="stable"))
    rank = _rank_within_class(codes[shuffled])
    # The first of every class, then the second of every class, and so on.
    order = np.lexsort((turn_of_class[codes[shuffled]], rank))
    return np.sort(shuffled[order[:n]]).astype(np.int64)


def _rank_within_class(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count, for each entry, how many equal ones come before it."""
    by_class = np.argsort(codes, kind="stable")
    grouped = codes[by_class]
    starts = np.searchsorted(grouped, grouped, side="left")
    rank = np.empty(len(codes), dtype=np.int64)
    rank[by_class] = np.arange(len(codes)) - starts
    return rank
