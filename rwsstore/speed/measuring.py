"""Timing one action against another, turn by turn, and against what the machine could do at best.

Milliseconds belong to one machine on one day. A ratio of two actions that take turns in one
process is what travels: whatever slows the machine down for a while slows both.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from rwsstore.errors import ConfigError

Action = Callable[[], object]
"""Something to time; what it returns is dropped within the time that it is charged."""

Clock = Callable[[], float]
"""Seconds, ever rising."""


@dataclass(frozen=True)
class Ratio:
    """A ratio as it was measured over several repetitions.

    Attributes:
        median: the middle one.
        low: the lower quartile: a quarter of the repetitions gave less.
        high: the upper one: a quarter gave more. Quartiles, not extremes, because one hiccup of the
            machine in fifty repetitions would else be all that the spread tells.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Ratio":
        """Sum up one ratio a repetition; of a single one, all three are the same.

        Raises:
            ConfigError: there is none, or one is not a finite number above 0.
        """
        found = sorted(values)
        if not found or not all(math.isfinite(value) and value > 0 for value in found):
            raise ConfigError(f"expected finite ratios above 0, one a repetition; found {found}")
        if len(found) == 1:
            return cls(found[0], found[0], found[0])
        low, median, high = statistics.quantiles(found, n=4, method="inclusive")
        return cls(median, low, high)


@dataclass(frozen=True)
class Pairs:
    """The times of two actions that took turns.

    Attributes:
        measured: seconds that the one took, once; an entry a repetition.
        against: the same of the other, as many.
    """

    measured: tuple[float, ...]
    against: tuple[float, ...]

    @property
    def ratio(self) -> Ratio:
        """Measured over against, pair by pair.

        Not the ratio of the two medians: the two times of a pair lie next to each other, so that
        a machine that slows down halfway through shifts both, and no pair's ratio.

        Raises:
            ConfigError: a time is 0: the clock did not move.
        """
        if not all(self.against):
            raise ConfigError("an action took no time by the clock: repeat it within a turn")
        pairs = zip(self.measured, self.against, strict=True)
        return Ratio.of(one / other for one, other in pairs)

    @property
    def milliseconds(self) -> tuple[float, float]:
        """The median time of the one and of the other."""
        return 1000 * statistics.median(self.measured), 1000 * statistics.median(self.against)


def time_pairs(
    measured: Action,
    against: Action,
    *,
    repeats: int,
    warm_up: int,
    clock: Clock = time.perf_counter,
    inner: int = 1,
) -> Pairs:
    """Time two actions in turns: A B A B A B.

    Each always follows the other, so that both find the caches as the other left them.

    Args:
        measured: the one.
        against: the other.
        repeats: timed turns of each, 1 or more.
        warm_up: turns of each before that, not timed.
        clock: seconds, ever rising.
        inner: how often an action is repeated within a turn. Raise it for an action of
            microseconds, so that a turn is long against the clock's own noise.

    Raises:
        ConfigError: a count is out of range.
    """
    _check_counts(repeats, warm_up, inner)
    pairs = [
        (_turn(measured, clock, inner), _turn(against, clock, inner))
        for _ in range(warm_up + repeats)
    ]
    ones, others = zip(*pairs[warm_up:], strict=True)
    return Pairs(ones, others)


def timings(
    action: Action,
    *,
    repeats: int,
    warm_up: int,
    clock: Clock = time.perf_counter,
    inner: int = 1,
) -> tuple[float, ...]:
    """Time an action on its own, in seconds, an entry a repetition; arguments as in `time_pairs`.

    Raises:
        ConfigError: a count is out of range.
    """
    _check_counts(repeats, warm_up, inner)
    return tuple(_turn(action, clock, inner) for _ in range(warm_up + repeats))[warm_up:]


def repeats_within(
    action: Action,
    seconds: float,
    *,
    clock: Clock = time.perf_counter,
) -> int:
    """Say how often an action can be repeated in some seconds, 3 to 101 times.

    It is tried twice; the first try is not counted: it may build kernels and allocate.
    """
    action()
    once = _turn(action, clock, 1)
    return max(3, min(101, int(seconds / max(once, 1e-9))))


def inner_for(action: Action, *, seconds: float = 0.005, clock: Clock = time.perf_counter) -> int:
    """Say how often to repeat an action, so that a turn takes some seconds; at most 1,000 times.

    The first try is not counted: it may build kernels and allocate.
    """
    action()
    once = _turn(action, clock, 1)
    return max(1, min(1000, math.ceil(seconds / max(once, 1e-9))))


def _check_counts(repeats: int, warm_up: int, inner: int) -> None:
    if repeats < 1 or warm_up < 0 or inner < 1:
        raise ConfigError(
            f"repeats {repeats}, warm_up {warm_up}, inner {inner}: expected at least 1, 0 and 1"
        )


def _turn(action: Action, clock: Clock, inner: int) -> float:
    start = clock()
    for _ in range(inner):
        action()
    return (clock() - start) / inner


_COPIED = 64 * 2**20
"""Bytes that are copied: more than caches hold."""

_SIDE = 1024
"""Of the square matrices that are multiplied."""


@dataclass(frozen=True)
class Floors:
    """The machine's measured rates, the best of the repetitions: a floor knows no bad luck.

    Attributes:
        copy: gigabytes a second of a plain copy that no cache holds, read and written counted.
        gemm: float32 matrix multiplication in GFLOP/s (10⁹ operations, an addition and a
            multiplication being two).
        convolution: a float32 convolution like a network's, in GFLOP/s.
        gemm_bf16: matrix multiplication in bfloat16; None where the processor has no instructions
            for it.
        convolution_bf16: likewise.
    """

    copy: float
    gemm: float
    convolution: float
    gemm_bf16: float | None = None
    convolution_bf16: float | None = None

    def best(self, dtype: torch.dtype) -> float | None:
        """GFLOP/s that a forward pass in some arithmetic is held against: the better of the two.

        None in bfloat16 where the processor has no instructions for it.
        """
        if dtype != torch.bfloat16:
            return max(self.gemm, self.convolution)
        return max(filter(None, (self.gemm_bf16, self.convolution_bf16)), default=None)


def has_bf16() -> bool:
    """Whether the processor computes in bfloat16, rather than imitating it."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def find_floors(seconds: float, *, clock: Clock = time.perf_counter) -> Floors:
    """Measure the machine's rates with the threads that torch has.

    Args:
        seconds: that it may take in all, about.
        clock: seconds, ever rising.
    """
    dtypes = {"": torch.float32, "_bf16": torch.bfloat16} if has_bf16() else {"": torch.float32}
    share = seconds / (1 + 2 * len(dtypes))
    source = torch.ones(_COPIED, dtype=torch.uint8)
    target = torch.empty_like(source)
    rates = {"copy": 2 * _COPIED / 1e9 / _fastest(lambda: target.copy_(source), share, clock)}
    for suffix, dtype in dtypes.items():
        square = torch.ones(_SIDE, _SIDE, dtype=dtype)
        multiplied = _fastest(partial(torch.matmul, square, square.clone()), share, clock)
        rates[f"gemm{suffix}"] = 2 * _SIDE**3 / 1e9 / multiplied
        rates[f"convolution{suffix}"] = _convolution_rate(dtype, share, clock)
    return Floors(**rates)


def _convolution_rate(dtype: torch.dtype, seconds: float, clock: Clock) -> float:
    """3×3, 256 channels to 256, on 8 maps of 16×16: the middle of a VGG-16, 2.4 GFLOP.

    In the memory format, contiguous or channels last, that is the faster one.
    """
    work = 2 * 8 * 256 * 256 * 9 * 16 * 16
    times = []
    for layout in (torch.contiguous_format, torch.channels_last):
        images = torch.ones(8, 256, 16, 16, dtype=dtype).contiguous(memory_format=layout)
        weights = torch.ones(256, 256, 3, 3, dtype=dtype).contiguous(memory_format=layout)
        convolve = partial(F.conv2d, images, weights, padding=1)
        times.append(_fastest(convolve, seconds / 2, clock))
    return work / 1e9 / min(times)


@torch.inference_mode()
def _fastest(action: Action, seconds: float, clock: Clock) -> float:
    repeats = repeats_within(action, seconds, clock=clock)
    return min(timings(action, repeats=repeats, warm_up=0, clock=clock))


@torch.inference_mode()
def count_flops(model: Callable[[Tensor], object], images: Tensor) -> int:
    """Count the operations of a forward pass: those of convolutions and matrix products.

    Args:
        model: whose own operations are counted, so a plain module and not one in another compute
            format.
        images: [B, 3, H, W].

    Returns:
        Additions and multiplications, of the whole batch.
    """
    with FlopCounterMode(display=False) as counter:
        model(images)
    return int(counter.get_total_flops())
