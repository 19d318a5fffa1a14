import math
from dataclasses import asdict

import pytest
import torch
from torch import nn

from rwsstore.speed.measuring import Floors, count_flops, find_floors, has_bf16
from tests.training.tiny import two_convs


def test_flops_are_those_of_convolutions_and_linears() -> None:
    images = torch.zeros(1, 3, 8, 8)
    first, second, linear = 6 * 3 * 9 * 64, 8 * 6 * 9 * 64, 8 * 3
    assert count_flops(two_convs(), images) == 2 * (first + second + linear)
    assert count_flops(two_convs(), images.expand(4, 3, 8, 8)) == 8 * (first + second + linear)


def test_what_computes_nothing_of_the_kind_counts_nothing() -> None:
    assert count_flops(nn.ReLU(), torch.zeros(1, 3, 8, 8)) == 0


def test_the_floors_are_rates_of_this_machine() -> None:
    rates = asdict(find_floors(0.01))
    bf16 = {"gemm_bf16": rates.pop("gemm_bf16"), "convolution": rates.pop("convolution_bf16")}
    assert set(rates) == {"copy", "gemm", "convolution"}
    assert all(math.isfinite(rate) and rate > 0 for rate in rates.values())
    assert all((rate is not None and rate > 0) == has_bf16() for rate in bf16.values())


def test_a_rate_is_work_over_the_fastest_of_the_times() -> None:
    ticks = iter(range(10_000))
    floors = find_floors(8.0, clock=lambda: float(next(ticks)))  # everything takes one second
    assert floors.copy == pytest.approx(2 * 64 * 2**20 / 1e9)
    assert floors.gemm == pytest.approx(2 * 1024**3 / 1e9)
    assert floors.convolution == pytest.approx(2 * 8 * 256 * 256 * 9 * 16 * 16 / 1e9)


def test_a_pass_is_held_against_the_better_rate_in_its_arithmetic() -> None:
    floors = Floors(copy=1, gemm=2, convolution=3, gemm_bf16=5, convolution_bf16=4)
    assert floors.best(torch.float32) == 3
    assert floors.best(torch.bfloat16) == 5
    assert Floors(copy=1, gemm=2, convolution=3).best(torch.bfloat16) is None
