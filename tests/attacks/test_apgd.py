import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rwsstore.attacks import Apgd, Norm, Pgd
from rwsstore.attacks.apgd import checkpoints
from rwsstore.attacks.search import CrossEntropy, random_changes
from tests.attacks.making import Linear, Trained, noise, weights


def test_the_checkpoints_are_the_papers() -> None:
    assert list(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert list(checkpoints(100).values()) == [22, 19, 16, 13, 10, 7, 6, 6]


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 10, 33, 50, 1000])
def test_checkpoints_lie_within_the_steps(steps: int) -> None:
    found = checkpoints(steps)
    assert list(found) == sorted(found)
    assert sum(found.values()) == max(found)
    assert max(found) <= steps
    first, second = 0.22 * steps, 0.41 * steps
    assert math.ceil(first - 1e-9) in found
    assert math.ceil(second - 1e-9) in found


@pytest.mark.parametrize("steps", [1, 2, 30])
def test_linf_reaches_the_corner_of_a_linear_model(steps: int) -> None:
    w, images = weights(4), noise(6, 4)
    labels = torch.tensor([0, 1] * 3)
    found = Apgd(0.1, steps=steps).perturb(Linear(w), images, labels, early_exit=False)
    away = torch.where(labels == 0, 1.0, -1.0).view(-1, 1, 1, 1)
    torch.testing.assert_close(found, (images + 0.1 * away * w.sign()).clamp(0, 1))


class Peak(nn.Module):
    """The loss of class 0 is highest near one image, which a step of fixed length misses."""

    def __init__(self, top: Tensor) -> None:
        super().__init__()
        self.top = top
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        away = images - self.top
        height = -(10 * away**2 + 4 * away**3).sum((1, 2, 3))
        return torch.stack([torch.zeros_like(height), height], dim=1)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_shrinking_steps_find_a_peak_that_fixed_ones_miss(norm: Norm) -> None:
    images = torch.full((4, 3, 2, 2), 0.5)
    top = images[:1] + 0.1 * (noise(1, 2) - 0.5)
    labels = torch.zeros(4, dtype=torch.int64)
    epsilon = 0.2 if norm == "linf" else 0.6
    found = Apgd(epsilon, norm).perturb(Peak(top), images, labels, early_exit=False)
    fixed = Pgd(epsilon, norm, steps=100, step_size=2 * epsilon)
    other = fixed.perturb(Peak(top), images, labels, early_exit=False)
    assert float((found - top).abs().max()) < 0.01
    assert float((other - top).abs().max()) > 0.03


def algorithm_1(
    loss_of: Callable[[Tensor], Tensor], origin: Tensor, start: Tensor, attack: Apgd
) -> tuple[Tensor, list[float]]:
    """The paper's algorithm for one image, step by step; the best point and all losses."""

    def gradient(at: Tensor) -> Tensor:
        leaf = at.clone().requires_grad_()
        return torch.autograd.grad(loss_of(leaf), leaf)[0]

    def project(at: Tensor) -> Tensor:
        change = at - origin
        if attack.norm == "linf":
            change = change.clamp(-attack.epsilon, attack.epsilon)
        else:
            change = change * min(1.0, attack.epsilon / max(float(change.norm()), 1e-12))
        return (origin + change).clamp(0, 1)

    def ahead(at: Tensor) -> Tensor:
        g = gradient(at)
        return project(at + eta * (g.sign() if attack.norm == "linf" else g / g.norm()))

    w, p, gap = [0], 22, 22
    while p <= 100:
        w.append(math.ceil(p * attack.steps / 100))
        gap = max(gap - 3, 6)
        p += gap
    eta, etas, tops = 2 * attack.epsilon, {0: 0.0}, {0: float(loss_of(start))}
    etas[0] = eta
    points, losses = [start], [float(loss_of(start))]
    best, best_loss, rises = start, losses[0], 0
    for k in range(1, attack.steps + 1):
        now = points[-1]
        z = ahead(now)
        new = z if k == 1 else project(now + 0.75 * (z - now) + 0.25 * (now - points[-2]))
        loss = float(loss_of(new))
        rises += loss > losses[-1]
        points.append(new)
        losses.append(loss)
        if loss > best_loss:
            best, best_loss = new, loss
        if k in w:
            j = w.index(k)
            first = rises < attack.rho * (k - w[j - 1])
            second = etas[w[j - 1]] == eta and tops[w[j - 1]] == best_loss
            etas[k], tops[k], rises = eta, best_loss, 0
            if first or second:
                eta /= 2
                points[-1], losses[-1] = best, best_loss
    return best, losses


def follows(attack: Apgd, model: nn.Module, images: Tensor, labels: Tensor) -> None:
    found = attack.perturb(model, images, labels, early_exit=False)
    cross_entropy = CrossEntropy(model, labels)
    starts = random_changes(
        attack.ball, images.shape[1:], seed=0, indices=torch.arange(len(images)), restart=0
    )
    for place in range(len(images)):
        origin = images[place : place + 1]
        start = attack.ball.project(origin + starts[place : place + 1], origin)

        def loss_of(at: Tensor, place: int = place) -> Tensor:
            return cross_entropy(at, torch.tensor([place]))[0].sum()

        best, losses = algorithm_1(loss_of, origin, start, attack)
        assert max(losses) > losses[0]
        reached = float(loss_of(found[place : place + 1]))
        assert reached == pytest.approx(float(loss_of(best)), rel=1e-3)


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.05), ("l2", 0.8)])
def test_a_batch_goes_the_way_of_the_papers_algorithm(
    norm: Norm, epsilon: float, digits: Trained
) -> None:
    attack = Apgd(epsilon, norm, steps=40)
    follows(attack, digits.model, digits.images[:5], digits.labels[:5])


@pytest.mark.parametrize("rho", [0.75, 0.4, 0.1])  # the smaller, the more the second condition does
@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.2), ("l2", 0.6)])
def test_so_it_does_where_steps_go_over_the_top(norm: Norm, epsilon: float, rho: float) -> None:
    images = torch.full((4, 3, 2, 2), 0.5)
    top = images[:1] + 0.1 * (noise(1, 2) - 0.5)
    labels = torch.zeros(4, dtype=torch.int64)
    follows(Apgd(epsilon, norm, steps=30, rho=rho), Peak(top), images, labels)


def test_it_finds_higher_losses_than_a_step_as_long_as_it_starts_with(digits: Trained) -> None:
    rows = torch.arange(len(digits.images))
    loss_of = CrossEntropy(digits.model, digits.labels)
    losses = []
    for attack in (Apgd(0.05, steps=30), Pgd(0.05, steps=30, step_size=0.1)):
        found = attack.perturb(digits.model, digits.images, digits.labels, early_exit=False)
        losses.append(float(loss_of(found, rows)[0].sum()))
    assert losses[0] > losses[1]
