"""The closed form against what it claims, against brute force, and at the ends of p and n."""

import itertools
import math

import pytest
import torch
from hypothesis import assume, given, strategies as st
from torch import Tensor

from rwsstore.probes.parameter_corruption import Constraint, corruption_along

PS = (1.0, 1.05, 1.5, 2.0, 3.0, 10.0, 1000.0, math.inf)

_numbers = st.floats(-1e3, 1e3, allow_nan=False).map(lambda x: 0.0 if abs(x) < 1e-3 else x)
vectors = st.lists(_numbers, min_size=1, max_size=12)
norms = st.sampled_from(PS)
epsilons = st.floats(1e-6, 1e3)


def float64(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def dual(p: float) -> float:
    return math.inf if p == 1 else 1.0 if p == math.inf else p / (p - 1)


def norm(v: Tensor, p: float) -> float:
    """‖v‖_p, without the powers of small numbers that would vanish."""
    top = float(v.abs().max())
    return top * float(torch.linalg.vector_norm(v / top, p)) if top else 0.0


def top(v: Tensor, n: int) -> Tensor:
    return v.abs().sort(descending=True).values[:n]


@given(vectors, epsilons, norms, st.data())
def test_it_lies_in_the_set_and_reaches_the_dual_norm(
    values: list[float], epsilon: float, p: float, data: st.DataObject
) -> None:
    v = float64(values)
    assume(bool(v.any()))
    n = data.draw(st.integers(1, len(v)))
    a = corruption_along(v, Constraint(epsilon, p, n))
    assert (a.shape, a.dtype) == (v.shape, v.dtype)
    assert norm(a, p) == pytest.approx(epsilon, rel=1e-9)
    assert int((a != 0).sum()) <= n
    best = epsilon * norm(top(v, n), dual(p))
    assert float(a @ v) == pytest.approx(best, rel=1e-9)


@given(vectors, norms, st.data())
def test_no_other_vector_of_the_set_does_better(
    values: list[float], p: float, data: st.DataObject
) -> None:
    v = float64(values)
    n = data.draw(st.integers(1, len(v)))
    best = float(corruption_along(v, Constraint(2.5, p, n)) @ v)
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**32)))
    for _ in range(20):
        other = torch.randn(len(v), generator=generator, dtype=torch.float64)
        other[torch.randperm(len(v), generator=generator)[n:]] = 0
        other *= 2.5 / norm(other, p)
        assert float(other @ v) <= best * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("p", PS)
def test_brute_force_over_pairs_of_entries(p: float) -> None:
    v = float64([0.7, -1.9, 1.8, 0.02])
    angles = torch.linspace(0, 2 * math.pi, 200_001, dtype=torch.float64)
    circle = torch.stack([angles.cos(), angles.sin()], dim=1)
    circle = torch.cat([circle, float64([1, 1, 1, -1, -1, 1, -1, -1]).view(4, 2)])
    circle = circle / torch.linalg.vector_norm(circle, p, dim=1, keepdim=True)
    pairs = itertools.combinations(range(len(v)), 2)
    best = 0.3 * max(float((circle @ v[list(pair)]).max()) for pair in pairs)
    found = float(corruption_along(v, Constraint(0.3, p, 2)) @ v)
    assert found == pytest.approx(best, rel=1e-6)


@given(vectors, epsilons, norms)
def test_n_of_all_entries_is_no_limit(values: list[float], epsilon: float, p: float) -> None:
    v = float64(values)
    limited = corruption_along(v, Constraint(epsilon, p, len(v)))
    assert torch.equal(limited, corruption_along(v, Constraint(epsilon, p)))


def test_p_to_infinity_and_to_1() -> None:
    v = float64([0.5, -3.0, 2.0, 0.0, 1.0])
    signs = corruption_along(v, Constraint(0.1, math.inf))
    assert signs.tolist() == [0.1, -0.1, 0.1, 0.0, 0.1]
    assert torch.allclose(corruption_along(v, Constraint(0.1, 1e7)), signs, atol=1e-6)
    spike = corruption_along(v, Constraint(0.1, 1))
    assert spike.tolist() == [0.0, -0.1, 0.0, 0.0, 0.0]
    assert torch.allclose(corruption_along(v, Constraint(0.1, 1 + 1e-4)), spike, atol=1e-12)


def test_two_is_the_direction_itself() -> None:
    v = float64([3.0, -4.0, 1.0])
    found = corruption_along(v, Constraint(10.0, 2, 2))
    assert torch.allclose(found, float64([6.0, -8.0, 0.0]))


@pytest.mark.parametrize("p", PS)
def test_no_direction_gives_no_corruption(p: float) -> None:
    assert not corruption_along(torch.zeros(4), Constraint(1.0, p, 2)).any()


def test_the_dtype_stays() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        assert corruption_along(torch.ones(3, dtype=dtype), Constraint(1.0, 3.0)).dtype == dtype


def test_neither_huge_nor_minute_entries_spoil_the_norm() -> None:
    for scale in (1e-300, 1e300):
        v = float64([1.0, 0.5, -0.25]) * scale
        assert float(corruption_along(v, Constraint(2.0, 1.2)).norm(1.2)) == pytest.approx(2.0)
