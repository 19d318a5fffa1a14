"""The first-order value of the indicator, and what is measured."""

import math

import pytest
import torch

from rwsstore.probes.parameter_corruption import (
    Constraint,
    by_type,
    corrupted_copy,
    gradient_corruption,
    loss_gradient,
    measure,
    measure_indicator,
)
from rwsstore.probes.parameter_corruption.corruption import named_group
from tests.probes.parameter_corruption.making import IMAGES, sample, tiny, witness


def dual(values: torch.Tensor, p: float) -> float:
    q = math.inf if p == 1 else 1.0 if p == math.inf else p / (p - 1)
    return float(torch.linalg.vector_norm(values, q))


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 5.0, math.inf])
@pytest.mark.parametrize("n", [None, 7])
def test_the_first_order_value_is_that_of_equation_7(p: float, n: int | None) -> None:
    model = tiny()
    gradient = loss_gradient(model, sample(model)).tensors
    flat = torch.cat([part.flatten() for part in gradient.values()])
    kept = flat.abs().sort(descending=True).values[:n]
    found = measure_indicator(model, IMAGES.images, IMAGES.labels, Constraint(0.01, p, n))
    assert found.first_order == pytest.approx(0.01 * dual(kept, p), rel=1e-9)


@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
def test_what_is_measured_tends_to_it(p: float) -> None:
    model = tiny(torch.float64)
    errors = []
    for epsilon in (1e-3, 1e-4, 1e-5):
        constraint = Constraint(epsilon / 10, p)
        found = measure_indicator(model, IMAGES.images, IMAGES.labels, constraint)
        assert found.measured is not None
        errors.append(abs(found.measured / found.first_order - 1))
    assert errors[2] < 1e-3
    assert errors[0] > 20 * errors[2]  # the rest is of second order: it shrinks as ε does


def test_it_is_the_loss_change_of_the_corrupted_copy() -> None:
    model, (_, norm, _) = tiny(), by_type(tiny())
    constraint = Constraint(0.5, math.inf, 3)
    found = measure_indicator(model, IMAGES.images, IMAGES.labels, constraint, group=norm)
    images = sample(model)
    gradient = loss_gradient(model, images, norm.parameters).tensors
    after = measure(corrupted_copy(model, gradient_corruption(gradient, constraint)), images)
    assert (found.before, found.after) == (measure(model, images), after)
    assert found.before.loss is not None
    assert after.loss is not None
    assert found.measured == after.loss - found.before.loss > 0


def test_more_parameters_do_more() -> None:
    model = tiny()
    some, more = (
        measure_indicator(
            model, IMAGES.images, IMAGES.labels, Constraint(0.1),
            group=named_group(model, names),
        ).first_order
        for names in (["fc.weight"], ["fc.weight", "conv1.weight"])
    )  # fmt: skip
    assert 0 < some < more


def test_a_loss_beyond_all_numbers_has_no_change() -> None:
    model = tiny()
    found = measure_indicator(model, IMAGES.images, IMAGES.labels, Constraint(3e38, math.inf))
    assert found.measured is None
    assert found.after.loss is None
    assert found.after.accuracy < found.before.accuracy


def test_the_model_stays_as_it_was() -> None:
    model = tiny()
    model.conv1.requires_grad_(False)
    before = witness(model)
    measure_indicator(model, IMAGES.images, IMAGES.labels, Constraint(0.3), batch_size=7)
    assert witness(model) == before
