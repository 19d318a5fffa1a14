import itertools

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from rwsstore.corruptions import CORRUPTIONS
from rwsstore.probes import GroupContrast
from rwsstore.probes.groups import contrast_groups
from rwsstore.probes.similarity import group_of

ALL = tuple(CORRUPTIONS)


def random_values(rows: int, columns: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64)


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def asked(values: Tensor, names: tuple[str, ...], **options: int) -> GroupContrast:
    found = contrast_groups(values, names, names, symmetric=True, **options)
    assert found is not None
    return found


@settings(max_examples=20)
@given(
    names=st.lists(st.sampled_from(ALL), min_size=6, max_size=12, unique=True),
    seed=st.integers(0, 999),
)
def test_means_are_over_the_right_pairs(names: list[str], seed: int) -> None:
    values = random_values(5, len(names), seed)
    rows = [*names[:4], None]
    found = contrast_groups(values, rows, names, relabelings=1)
    cells = [
        (one, other, float(values[row, column]))
        for row, one in enumerate(rows)
        for column, other in enumerate(names)
        if one is not None
    ]
    within = [v for a, b, v in cells if a != b and group_of(a) == group_of(b)]
    between = [v for a, b, v in cells if group_of(a) != group_of(b)]
    if not within or not between:
        assert found is None
        return
    assert found is not None
    assert found.within == pytest.approx(mean(within))
    assert found.between == pytest.approx(mean(between))
    assert found.own == pytest.approx(mean([v for a, b, v in cells if a == b]))
    assert (found.within_pairs, found.between_pairs) == (len(within), len(between))
    for name, row in found.by_group.items():
        for other, value in row.items():
            pairs = [
                v for a, b, v in cells if a != b and (group_of(a), group_of(b)) == (name, other)
            ]
            assert value == (pytest.approx(mean(pairs)) if pairs else None)


def test_groups_that_are_there_appear() -> None:
    groups = [group_of(name) for name in ALL]
    values = torch.tensor([[float(a == b) for b in groups] for a in groups])
    noise = random_values(len(ALL), len(ALL), 0)
    found = asked(values + 0.2 * (noise + noise.T), ALL)
    assert found.appear
    assert found.p_value == 1 / 10_000
    assert (found.within_pairs, found.between_pairs) == (36, 135)
    assert found.own is None


def test_groups_that_are_not_there_do_not() -> None:
    noise = [random_values(len(ALL), len(ALL), seed) for seed in range(40)]
    values = [asked(one + one.T, ALL, relabelings=199).p_value for one in noise]
    # Without groups a p-value is uniform: about 2 of 40 below 0.05, about half below 0.5.
    assert sum(value < 0.05 for value in values) <= 6
    assert 10 <= sum(value < 0.5 for value in values) <= 30


def test_opposite_groups_do_not_appear() -> None:
    groups = [group_of(name) for name in ALL]
    found = asked(torch.tensor([[float(a != b) for b in groups] for a in groups]), ALL)
    assert not found.appear
    assert found.p_value == 1


def test_the_p_value_of_few_patches_is_the_share_of_all_labelings() -> None:
    names = ("fog", "snow", "contrast", "pixelate")
    values = torch.zeros(4, 4)
    values[0, 1] = values[1, 0] = 1.0
    # Of the three ways to make two pairs of four, one has fog with snow.
    ways = {frozenset({frozenset(p[:2]), frozenset(p[2:])}) for p in itertools.permutations(names)}
    found = asked(values, names, relabelings=20_000)
    assert found.p_value == pytest.approx(1 / len(ways), abs=0.02)
    assert not found.appear


def test_two_patches_of_one_corruption_count_as_its_own() -> None:
    names = ("fog", "fog", "snow", "contrast")
    values = torch.tensor([[9.0, 7, 1, 0], [7, 9, 2, 0], [1, 2, 9, 0], [0, 0, 0, 9]])
    found = asked(values, names)
    assert (found.own, found.within, found.between) == (7.0, 1.5, 0.0)
    assert (found.within_pairs, found.between_pairs) == (2, 3)


def test_the_seed_decides() -> None:
    values = random_values(len(ALL), len(ALL), 1)
    first, again = asked(values, ALL, seed=1), asked(values, ALL, seed=1)
    assert first == again
    assert len({asked(values, ALL, seed=seed, relabelings=99).p_value for seed in range(8)}) > 1


def test_what_is_not_known_is_left_out() -> None:
    names = ("fog", "snow", "contrast")
    values = torch.tensor([[1.0, torch.nan, 2.0], [0.5, 1.0, 4.0], [2.0, 4.0, 1.0]])
    found = contrast_groups(values, names, names)
    assert found is not None
    assert (found.within, found.within_pairs, found.between) == (0.5, 1, 3.0)


@pytest.mark.parametrize(
    "names",
    [("fog", "contrast"), ("fog", "snow"), (None, None), ("fog", "fog"), ("drizzle", "fog")],
)
def test_too_few_to_ask(names: tuple[str | None, ...]) -> None:
    assert contrast_groups(random_values(2, 2, 0), names, names) is None
