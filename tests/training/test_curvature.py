"""The trace of a Hessian, against the Hessian itself."""

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import hessian
from torch.func import functional_call
from torch.nn import functional as F

from rwsstore.training.recipes import failing as curvature
from rwsstore.training.recipes.failing import leading_trace
from tests.training.tiny import pictures, two_convs


def small_problem() -> tuple[nn.Module, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2)).double()
    inputs = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    return model, inputs, torch.tensor([0, 1, 0, 1, 1])


def exact_hessian(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    names = [name for name, _ in model.named_parameters()]
    shapes = [p.shape for p in model.parameters()]
    sizes = [shape.numel() for shape in shapes]

    def loss(flat: Tensor) -> Tensor:
        parts = torch.split(flat, sizes)
        named = {n: part.view(s) for n, part, s in zip(names, parts, shapes, strict=True)}
        return F.cross_entropy(functional_call(model, named, (inputs,)), labels)

    flat = torch.cat([p.detach().flatten() for p in model.parameters()])
    found: Tensor = hessian(loss, flat)  # type: ignore[no-untyped-call]
    return found


def estimate(model: nn.Module, inputs: Tensor, labels: Tensor, **options: object) -> Tensor:
    loss = F.cross_entropy(model(inputs), labels)
    generator = torch.Generator().manual_seed(3)
    return leading_trace(loss, list(model.parameters()), generator=generator, **options)  # type: ignore[arg-type]  # share and draws


def test_the_mean_over_draws_is_the_trace() -> None:
    problem = small_problem()
    exact = float(exact_hessian(*problem).trace())
    assert float(estimate(*problem, draws=1000).detach()) == pytest.approx(exact, rel=0.06)


def test_over_all_signs_it_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs, labels = small_problem()
    last = [model[2].bias]  # type: ignore[index]  # a Sequential
    every = iter(list(itertools.product([-1.0, 1.0], repeat=2)))
    monkeypatch.setattr(
        curvature, "_signs", lambda like, _: torch.tensor(next(every), dtype=like.dtype)
    )
    loss = F.cross_entropy(model(inputs), labels)
    found = leading_trace(loss, last, draws=4, generator=torch.Generator())
    assert float(found.detach()) == pytest.approx(
        float(exact_hessian(*small_problem())[-2:, -2:].trace())
    )


def test_a_share_sums_the_largest_entries() -> None:
    problem = small_problem()
    diagonal = exact_hessian(*problem).diagonal()
    half = diagonal.topk(round(len(diagonal) / 2)).values.sum()
    assert float(estimate(*problem, draws=1000, share=0.5).detach()) == pytest.approx(
        float(half), rel=0.05
    )


def test_its_gradient_is_that_of_the_trace() -> None:
    model, inputs, labels = small_problem()
    weight = model[0].weight  # type: ignore[index]
    found = torch.autograd.grad(estimate(model, inputs, labels, draws=2), weight)[0][0, 0]
    values = []
    for step in (1e-5, -1e-5):
        with torch.no_grad():
            weight[0, 0] += step
        values.append(float(estimate(model, inputs, labels, draws=2).detach()))
        with torch.no_grad():
            weight[0, 0] -= step
    assert float(found) == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4)


def test_parameters_that_the_loss_does_not_reach_count_nothing() -> None:
    model = two_convs()
    images = pictures(6)
    loss = F.cross_entropy(model(images.images), images.labels)
    alone, beside = (
        leading_trace(loss, parameters, generator=torch.Generator().manual_seed(0))
        for parameters in ([model.fc.weight], [model.fc.weight, nn.Parameter(torch.ones(3))])
    )
    assert torch.equal(alone, beside)
