import math

import pytest
import torch
from hypothesis import given, strategies as st

from rwsstore.attacks import Ball, Norm
from tests.attacks.making import noise, sizes

balls = st.one_of(
    st.builds(Ball, st.floats(1e-3, 1.0), st.just("linf")),
    st.builds(Ball, st.floats(1e-3, 5.0), st.just("l2")),
)
seeds = st.integers(0, 1000)


@given(balls, st.integers(1, 4), st.integers(1, 6), seeds, st.floats(0, 3))
def test_what_is_projected_is_within(
    ball: Ball, count: int, size: int, seed: int, far: float
) -> None:
    origins = noise(count, size, seed)
    images = origins + far * (2 * noise(count, size, seed + 1) - 1)
    found = ball.project(images, origins)
    assert bool(ball.holds(found, origins).all())
    assert float(sizes(found, origins, ball.norm).max()) <= ball.epsilon * (1 + 1e-5) + 1e-6
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1


@given(balls, seeds)
def test_what_is_within_stays(ball: Ball, seed: int) -> None:
    origins = noise(3, 4, seed)
    change = ball.sample(origins.shape, torch.Generator().manual_seed(seed))
    images = (origins + 0.999 * change).clamp(0, 1)
    torch.testing.assert_close(ball.project(images, origins), images, rtol=1e-6, atol=1e-6)


def test_projection_by_hand() -> None:
    origins = torch.full((1, 3, 1, 1), 0.5)
    images = origins + torch.tensor([0.3, -0.4, 0.0]).view(1, 3, 1, 1)
    linf = Ball(0.25).project(images, origins).flatten()
    torch.testing.assert_close(linf, torch.tensor([0.75, 0.25, 0.5]))
    l2 = Ball(0.25, "l2").project(images, origins).flatten()
    torch.testing.assert_close(l2, torch.tensor([0.65, 0.3, 0.5]))
    boxed = Ball(1.0, "l2").project(3 * images, origins).flatten()
    assert float(boxed.max()) == 1


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_starts_fill_the_ball_evenly(norm: Norm) -> None:
    ball = Ball(0.5, norm)
    changes = ball.sample(torch.Size((4000, 3, 1, 1)), torch.Generator().manual_seed(0))
    found = sizes(changes, torch.zeros_like(changes), norm)
    assert float(found.max()) <= 0.5 + 1e-6
    # Of an even three-dimensional ball or cube, the inner one of half the radius holds an eighth.
    assert float((found < 0.25).double().mean()) == pytest.approx(0.125, abs=0.02)
    assert float(changes.mean().abs()) < 0.01


def test_directions() -> None:
    gradients = torch.tensor([[3.0, -4.0, 0.0], [0.0, 0.0, 0.0]]).view(2, 3, 1, 1)
    linf = Ball(0.1).direction(gradients).flatten(1)
    assert linf.tolist() == [[1, -1, 0], [0, 0, 0]]
    l2 = Ball(0.1, "l2").direction(gradients).flatten(1)
    torch.testing.assert_close(l2, torch.tensor([[0.6, -0.8, 0.0], [0.0, 0.0, 0.0]]))


@pytest.mark.parametrize("scale", [1e-37, 1e-20, 1e20, 1e37])
def test_a_gradient_of_any_size_has_a_direction(scale: float) -> None:
    gradients = scale * torch.tensor([3.0, -4.0, 0.0]).view(1, 3, 1, 1)
    found = Ball(0.1, "l2").direction(gradients).flatten()
    torch.testing.assert_close(found, torch.tensor([0.6, -0.8, 0.0]))


def test_what_is_outside_is_seen() -> None:
    origins = torch.full((3, 3, 4, 4), 0.5)
    images = origins.clone()
    images[1, 0, 0, 0] += 0.11
    images[2, 0, 0, 0] = 0.6
    assert Ball(0.1).holds(images, origins).tolist() == [True, False, True]
    images[2, 1] = 0.6
    assert Ball(0.1, "l2").holds(images, origins).tolist() == [True, False, False]
    outside = torch.full((1, 3, 1, 1), 1.0)
    assert not bool(Ball(0.5).holds(outside + 1e-3, outside).any())
    assert not bool(Ball(0.5).holds(outside * math.nan, outside).any())
