"""What the machine could do at best: the floors that a model's times are held against."""

__all__ = ["Floors", "copy_rate", "count_flops", "find_floors", "has_bf16"]

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from rwsstore.speed.measuring import Action, Clock, repeats_within, timings

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
    rates = [(name, dtype) for name in _RATES for dtype in (torch.float32, torch.bfloat16)]
    if not has_bf16():
        rates = [(name, dtype) for name, dtype in rates if dtype == torch.float32]
    share = seconds / (1 + len(rates))
    return Floors(
        copy=copy_rate(share, clock=clock),
        **{
            name if dtype == torch.float32 else f"{name}_bf16": _RATES[name](dtype, share, clock)
            for name, dtype in rates
        },
    )


def copy_rate(seconds: float, *, clock: Clock = time.perf_counter) -> float:
    """Gigabytes a second, read and written, of copying what no cache holds."""
    source = torch.ones(_COPIED, dtype=torch.uint8)
    target = torch.empty_like(source)
    return 2 * _COPIED / 1e9 / _fastest(lambda: target.copy_(source), seconds, clock)


def _gemm_rate(dtype: torch.dtype, seconds: float, clock: Clock) -> float:
    left, right = (torch.ones(_SIDE, _SIDE, dtype=dtype) for _ in range(2))
    return 2 * _SIDE**3 / 1e9 / _fastest(lambda: left @ right, seconds, clock)


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


_RATES: Mapping[str, Callable[[torch.dtype, float, Clock], float]] = MappingProxyType(
    {"gemm": _gemm_rate, "convolution": _convolution_rate}
)
"""What is measured in float32 and, where the processor has it, in bfloat16; fields of `Floors`."""


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
