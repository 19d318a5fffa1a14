from collections import Counter
from dataclasses import replace

import pytest
import torch

from rwsstore.probes.bitflips import (
    Memory,
    Sites,
    StoredPatch,
    StoredWeights,
    layer_sites,
    sample_sites,
    surveying as module,
)
from tests.probes.bitflips.making import vgg
from tests.runtime.making import bare_patch
from tests.training.tiny import two_convs


def rows(sites: Sites) -> list[tuple[int, ...]]:
    columns = (sites.array.tolist(), sites.index.tolist(), sites.bit.tolist())
    return list(zip(*columns, strict=True))


def every(memory: Memory) -> set[tuple[int, int, int]]:
    return {
        (array, index, bit)
        for array, row in enumerate(memory.arrays)
        for index in range(row.count)
        for bit in range(row.form.bits)
    }


@pytest.mark.parametrize("shuffled", [2**22, 0])
def test_a_sample_is_of_the_memory_and_has_no_repetitions(
    shuffled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SHUFFLED", shuffled)
    memory = StoredWeights(two_convs(), "float16")
    total = sum(16 * row.count for row in memory.arrays)
    for count in (1, total // 3, total):
        drawn = rows(sample_sites(memory, count, seed=1))
        assert len(drawn) == len(set(drawn)) == count
        assert set(drawn) <= every(memory)
    assert set(drawn) == every(memory)


def test_the_seed_decides_and_nothing_else() -> None:
    memory = StoredWeights(two_convs())
    state = torch.random.get_rng_state()
    first, again = (rows(sample_sites(memory, 50, seed=3)) for _ in range(2))
    assert first == again
    assert first == rows(sample_sites(StoredWeights(two_convs(seed=9)), 50, seed=3))
    assert first != rows(sample_sites(memory, 50, seed=4))
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("shuffled", [2**22, 0])
def test_parameters_are_drawn_evenly(shuffled: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SHUFFLED", shuffled)
    memory = StoredWeights(two_convs())
    total = sum(row.count for row in memory.arrays)
    count = 8000
    drawn = sample_sites(memory, count, seed=0)
    for counted, expected in (
        (drawn.array, [row.count / total for row in memory.arrays]),
        (drawn.bit, [1 / 32] * 32),
    ):
        found = torch.bincount(counted, minlength=len(expected)).double()
        share = torch.tensor(expected, dtype=torch.float64)
        spread = (count * share * (1 - share)).sqrt()
        assert bool(((found - count * share).abs() <= 4.5 * spread).all())
    largest = max(range(len(memory.arrays)), key=lambda array: memory.arrays[array].count)
    inside = drawn.index[drawn.array == largest].double() / memory.arrays[largest].count
    assert float(inside.mean()) == pytest.approx(0.5, abs=4.5 * (1 / 12 / len(inside)) ** 0.5)


def test_only_the_chosen_bits_are_drawn() -> None:
    memory = StoredWeights(two_convs())
    assert set(sample_sites(memory, 99, bits="top").bit.tolist()) == {30}
    assert set(sample_sites(memory, 999, bits="exponent").bit.tolist()) == set(range(23, 31))
    assert set(sample_sites(memory, 99, bits="3,17").bit.tolist()) == {3, 17}


def test_each_bit_of_a_patch_is_as_likely() -> None:
    memory = StoredPatch(vgg(), bare_patch(vgg(), layers=2, bits=4))
    total = sum(row.count * row.form.bits for row in memory.arrays)
    drawn = rows(sample_sites(memory, total))
    assert set(drawn) == every(memory)
    assert len(drawn) == total
    exponents = sample_sites(memory, 20, bits="exponent").array.tolist()
    assert {memory.arrays[array].form.name for array in exponents} == {"float32"}


def test_a_layer_is_listed_whole() -> None:
    memory = StoredWeights(two_convs())
    names = [row.name for row in memory.arrays]
    sites = layer_sites(memory, "conv2", bits="31,30")
    weight, bias = names.index("conv2.weight"), names.index("conv2.bias")
    expected = {
        (array, index, bit)
        for array, count in ((weight, 6 * 8 * 9), (bias, 8))
        for index in range(count)
        for bit in (30, 31)
    }
    assert len(sites) == len(expected)
    assert set(rows(sites)) == expected
    alone = layer_sites(memory, "conv2.bias")
    assert Counter(alone.array.tolist()) == {bias: 8 * 32}


def test_sites_of_another_memory_are_told() -> None:
    memory = StoredWeights(two_convs())
    sites = sample_sites(memory, 5)
    sites.check(memory)
    replace(sites, index=torch.zeros_like(sites.index)).check(memory)
