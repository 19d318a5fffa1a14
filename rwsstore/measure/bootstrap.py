"""How far a figure depends on which images were drawn.

The percentile bootstrap (Efron, Annals of Statistics 7, 1979): draw as many images as there are,
with replacement, count again, and do that many times. The same draws serve every model and every
corruption, because the same images are behind all of them; so differences and ratios of accuracies
get intervals too, from the very draws of their terms.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from operator import sub, truediv
from statistics import fmean
from typing import TypeVar

import torch
from pydantic import Field, model_validator
from torch import Tensor

from rwsstore.config import Frozen
from rwsstore.errors import ConfigError, TensorError

_Key = TypeVar("_Key", bound=Hashable)

_CHUNK = 2**21
"""Elements of a matrix that are in memory at once: 16 MiB of float64."""


class Interval(Frozen):
    """Where a figure lies with a given confidence, in the figure's own unit.

    Raises:
        ValueError: a bound is not finite, or they are the wrong way round.
    """

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)

    @model_validator(mode="after")
    def _in_order(self) -> "Interval":
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


@dataclass(frozen=True)
class Resampling:
    """How images are drawn again.

    Attributes:
        resamples: how many draws of all images; 0: none, figures then have no interval.
        confidence: share of the draws that an interval holds, above 0 and below 1.
        seed: of the draws, any integer.

    Raises:
        ConfigError: one is out of its range, or the draws are so few that none would lie outside
            the interval at either end.
    """

    resamples: int = 1000
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise ConfigError(f"confidence is {self.confidence}; expected above 0 and below 1")
        least = round(2 / (1 - self.confidence), 6)
        if self.resamples != 0 and self.resamples < least:
            raise ConfigError(
                f"resamples is {self.resamples}; at {self.confidence:.0%} expected {least:g} or "
                "more, or 0 for no intervals"
            )
        if type(self.seed) is not int:
            raise ConfigError(f"seed is {self.seed!r}; expected an integer")


@dataclass(frozen=True, eq=False)
class Figure:
    """A number that was measured, and what it would have been on other draws of the images.

    Attributes:
        value: on the images as they are.
        draws: float64 [resamples]; None: not drawn, or a ratio without bounds.
        images: how many are behind it.
        resampling: how they were drawn.
    """

    value: float
    draws: Tensor | None
    images: int
    resampling: Resampling

    @property
    def interval(self) -> Interval | None:
        """The percentile interval; None without draws."""
        if self.draws is None:
            return None
        tail = (1 - self.resampling.confidence) / 2
        ends = torch.tensor([tail, 1 - tail], dtype=torch.float64)
        low, high = torch.quantile(self.draws, ends).tolist()
        return Interval(low=low, high=high)

    def __sub__(self, other: "Figure") -> "Figure":
        return self._with(other, sub)

    def __truediv__(self, other: "Figure") -> "Figure":
        """A ratio; it has no bounds if any draw of the denominator is 0 or below."""
        ratio = self._with(other, truediv)
        bounded = other.draws is not None and bool((other.draws > 0).all())
        return ratio if bounded else Figure(ratio.value, None, self.images, self.resampling)

    def _with(self, other: "Figure", operation: Callable[..., float | Tensor]) -> "Figure":
        _check_joint((self, other))
        value = float(operation(self.value, other.value))
        if self.draws is None or other.draws is None:
            return Figure(value, None, self.images, self.resampling)
        draws = torch.as_tensor(operation(self.draws, other.draws))
        return Figure(value, draws, self.images, self.resampling)


def bootstrap(
    correct: Mapping[_Key, Tensor], resampling: Resampling | None = None
) -> dict[_Key, Figure]:
    """Compute accuracies over one set of images, all with the same draws.

    Memory stays at a few chunks of 16 MiB beside the result, 8 bytes a draw and a figure.

    Args:
        correct: which images were classified as labelled, bool [N] each, in the same order.
        resampling: 1,000 draws and 95 % by default.

    Returns:
        Accuracies in percent by the same keys; the values do not depend on the resampling.

    Raises:
        TensorError: one is not bool [N], or they differ in N, or there are no images.
    """
    chosen = resampling or Resampling()
    if not correct:
        return {}
    shapes = {(column.dtype, tuple(column.shape)) for column in correct.values()}
    (dtype, shape), *others = shapes
    if others or dtype != torch.bool or len(shape) != 1 or shape[0] == 0:
        found = ", ".join(sorted(f"{dtype} {list(shape)}" for dtype, shape in shapes))
        raise TensorError(f"correctness is {found}; expected bool [N], N above 0, the same for all")
    images = int(shape[0])
    values = [100.0 * float(column.double().mean()) for column in correct.values()]
    if chosen.resamples == 0:
        drawn: list[Tensor | None] = [None] * len(values)
    else:
        drawn = list(_accuracies(torch.stack(list(correct.values())), chosen))
    figures = (Figure(*one, images, chosen) for one in zip(values, drawn, strict=True))
    return dict(zip(correct, figures, strict=True))


def mean_of(figures: Sequence[Figure]) -> Figure:
    """Average figures, each weighing the same.

    Raises:
        ConfigError: there is none, or they were not drawn together.
    """
    if not figures:
        raise ConfigError("the mean of no figures; expected one or more")
    _check_joint(figures)
    first, value = figures[0], fmean(figure.value for figure in figures)
    draws = [figure.draws for figure in figures if figure.draws is not None]
    mean = torch.stack(draws).mean(0) if len(draws) == len(figures) else None
    return Figure(value, mean, first.images, first.resampling)


def _accuracies(correct: Tensor, resampling: Resampling) -> Tensor:
    """Accuracies in percent of every draw: bool [columns, N] to float64 [columns, resamples]."""
    columns, images = correct.shape
    accuracies = torch.empty(columns, resampling.resamples, dtype=torch.float64)
    generator = torch.Generator().manual_seed(resampling.seed % 2**63)
    step = max(1, _CHUNK // images)
    for start in range(0, resampling.resamples, step):
        size = min(step, resampling.resamples - start)
        # How often each image was drawn, [N, size]; one call a draw, so chunks change nothing.
        draws = [torch.randint(images, (images,), generator=generator) for _ in range(size)]
        each = [torch.bincount(chosen, minlength=images) for chosen in draws]
        counts = torch.stack(each, dim=1).double()
        for first in range(0, columns, step):
            # Sums of whole numbers: exact in float64, in whatever order they are added.
            hits = correct[first : first + step].double() @ counts
            accuracies[first : first + step, start : start + size] = 100.0 * (hits / images)
    return accuracies


def _check_joint(figures: Sequence[Figure]) -> None:
    if len({(figure.images, figure.resampling) for figure in figures}) > 1:
        raise ConfigError(
            "figures of different draws of images; expected those of one call of bootstrap"
        )
