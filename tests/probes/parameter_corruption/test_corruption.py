"""Random corruptions after theorem 1, and corruptions on a model."""

import math

import pytest
import torch
from scipy import stats

from rwsstore.probes.parameter_corruption import (
    Constraint,
    corrupted_copy,
    corruption_along,
    gradient_corruption,
    loss_gradient,
)
from rwsstore.probes.parameter_corruption.corruption import (
    all_parameters,
    corrupting,
    first_order_change,
    random_corruption,
)
from tests.probes.parameter_corruption.making import sample, tiny, witness

DRAWS = 1500


def shares(k: int, constraint: Constraint) -> list[float]:
    """η² of random corruptions of k parameters, in two tensors."""
    generator = torch.Generator().manual_seed(k)
    gradient = {
        name: torch.randn(size, generator=generator, dtype=torch.float64)
        for name, size in (("one", k // 2), ("two", k - k // 2))
    }
    length = math.hypot(*(float(part.norm()) for part in gradient.values()))
    found = []
    for seed in range(DRAWS):
        corruption = random_corruption(gradient, constraint, seed=seed)
        share = first_order_change(corruption, gradient) / (constraint.epsilon * length)
        found.append(share**2)
    return found


@pytest.mark.parametrize("k", [2, 3, 10, 1000])
def test_their_share_of_the_indicator_is_distributed_as_theorem_1_says(k: int) -> None:
    test = stats.kstest(shares(k, Constraint(0.3)), stats.beta(0.5, (k - 1) / 2).cdf)
    assert test.pvalue > 0.01


@pytest.mark.parametrize(
    ("k", "constraint"),
    [(10, Constraint(0.3, 2, 1)), (10, Constraint(0.3, math.inf)), (11, Constraint(0.3))],
)
def test_the_test_would_see_another_distribution(k: int, constraint: Constraint) -> None:
    wrong = 20 if constraint.n is None and constraint.p == 2 else k
    test = stats.kstest(shares(k, constraint), stats.beta(0.5, (wrong - 1) / 2).cdf)
    assert test.pvalue < 1e-4


def test_their_mean_loss_change_is_of_second_order() -> None:
    curvature = torch.linspace(0, 3, 7, dtype=torch.float64)  # the Hessian's diagonal
    like = {"w": torch.zeros(7)}
    changes = torch.stack(
        [
            0.5 * (curvature * random_corruption(like, Constraint(0.2), seed=seed)["w"] ** 2).sum()
            for seed in range(DRAWS)
        ]
    )
    expected = float(curvature.sum()) / (2 * 7) * 0.2**2
    error = float(changes.std()) / math.sqrt(DRAWS)
    assert abs(float(changes.mean()) - expected) < 4 * error


def test_a_seed_says_everything() -> None:
    like, constraint = dict(tiny().named_parameters()), Constraint(0.1, 3, 17)
    before = torch.get_rng_state()
    one = random_corruption(like, constraint, seed=5)
    again, other = (random_corruption(like, constraint, seed=seed) for seed in (5, 6))
    assert all(torch.equal(one[name], again[name]) for name in like)
    assert any(not torch.equal(one[name], other[name]) for name in like)
    assert torch.equal(torch.get_rng_state(), before)
    assert {name: part.shape for name, part in one.items()} == {
        name: parameter.shape for name, parameter in like.items()
    }
    assert all(part.dtype == torch.float64 for part in one.values())
    assert sum(int((part != 0).sum()) for part in one.values()) == 17
    flat = torch.cat([part.flatten() for part in one.values()])
    assert float(flat.norm(3)) == pytest.approx(0.1)


def test_the_gradient_based_one_is_the_closed_form_over_all_names_together() -> None:
    model = tiny()
    gradient = loss_gradient(model, sample(model)).tensors
    found = gradient_corruption(gradient, Constraint(0.1, 1.5, 20))
    flat = torch.cat([part.flatten() for part in gradient.values()])
    expected = corruption_along(flat, Constraint(0.1, 1.5, 20))
    assert torch.equal(torch.cat([part.flatten() for part in found.values()]), expected)
    assert list(found) == list(all_parameters(model).parameters)
    assert first_order_change(found, gradient) == pytest.approx(float(expected @ flat))


def test_a_copy_is_corrupted_and_the_model_is_not() -> None:
    model = tiny()
    before = witness(model)
    corruption = random_corruption({"fc.weight": model.fc.weight}, Constraint(0.5), seed=0)
    copy = corrupted_copy(model, corruption)
    assert witness(model) == before
    moved = (model.fc.weight.double() + corruption["fc.weight"]).float()
    state = copy.state_dict()
    assert torch.equal(state.pop("fc.weight"), moved)
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in state.items())


def test_a_block_puts_the_very_bits_back() -> None:
    model = tiny()
    before = witness(model)
    like = dict(model.named_parameters())
    with corrupting(model, random_corruption(like, Constraint(3.0), seed=0)) as inside:
        assert inside is model
        changed = witness(model)
    assert changed[0] != before[0]
    assert witness(model) == before
    with pytest.raises(ZeroDivisionError), corrupting(
        model, random_corruption(like, Constraint(math.pi, math.inf), seed=1)
    ):  # fmt: skip
        raise ZeroDivisionError
    assert witness(model) == before


def test_w_plus_a_is_rounded_once() -> None:
    model = tiny(torch.bfloat16)
    corruption = {"fc.bias": torch.full((3,), 1e-3, dtype=torch.float64)}
    found = corrupted_copy(model, corruption).state_dict()["fc.bias"]
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, (model.fc.bias.double() + 1e-3).bfloat16())
