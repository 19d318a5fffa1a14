from itertools import pairwise

import pytest
import torch
from torch import nn

from rwsstore.attacks import Ball, Norm, Pgd, ascend_loss
from tests.attacks.making import Linear, Trained, accuracy, noise, right, sizes, snapshot, weights


@pytest.mark.parametrize("random_start", [True, False])
def test_linf_reaches_the_corner_of_a_linear_model(random_start: bool) -> None:
    w, images = weights(4), noise(6, 4)
    labels = torch.tensor([0, 1] * 3)
    attack = Pgd(0.1, steps=10, random_start=random_start)
    found = attack.perturb(Linear(w), images, labels, early_exit=False)
    away = torch.where(labels == 0, 1.0, -1.0).view(-1, 1, 1, 1)
    torch.testing.assert_close(found, (images + 0.1 * away * w.sign()).clamp(0, 1))


def test_l2_reaches_the_far_point_of_a_linear_model() -> None:
    w, images = weights(4), 0.4 + 0.2 * noise(6, 4)
    labels = torch.tensor([0, 1] * 3)
    attack = Pgd(0.3, "l2", steps=40, step_size=0.1)
    found = attack.perturb(Linear(w), images, labels, early_exit=False)
    away = torch.where(labels == 0, 1.0, -1.0).view(-1, 1, 1, 1)
    torch.testing.assert_close(found, images + 0.3 * away * w / w.norm(), atol=1e-4, rtol=0)


def test_the_default_step_is_two_and_a_half_budgets_over_the_steps(digits: Trained) -> None:
    images, labels = digits.images[:20], digits.labels[:20]
    default = Pgd(0.08, steps=5).perturb(digits.model, images, labels)
    given = Pgd(0.08, steps=5, step_size=0.04).perturb(digits.model, images, labels)
    assert torch.equal(default, given)


class Hill(nn.Module):
    """The loss of class 0 is highest at a grey of 0.5."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        height = -((images - 0.5) ** 2).sum((1, 2, 3))
        return torch.stack([torch.zeros_like(height), height], dim=1)


def test_the_best_point_is_kept_not_the_last() -> None:
    images, labels = torch.full((1, 3, 1, 1), 0.48), torch.tensor([0])
    # A step of 0.1 goes to 0.58, over the top and further from it than the start.
    attack = Pgd(0.2, steps=1, step_size=0.1, random_start=False)
    found = attack.perturb(Hill().eval(), images, labels, early_exit=False)
    torch.testing.assert_close(found, images)
    last = ascend_loss(
        Hill().eval(), images, labels, Ball(0.2), step_size=0.1, steps=1, generator=None
    )
    torch.testing.assert_close(last, images + 0.1)
    # One of 0.03 goes to 0.51, nearer; the next one back to where it was.
    attack = Pgd(0.2, steps=2, step_size=0.03, random_start=False)
    found = attack.perturb(Hill().eval(), images, labels, early_exit=False)
    torch.testing.assert_close(found, images + 0.03)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_more_restarts_and_more_steps_are_never_weaker(norm: Norm, digits: Trained) -> None:
    epsilon = 0.05 if norm == "linf" else 0.8
    standing = []
    for steps, restarts in ((2, 1), (8, 1), (8, 3)):
        attack = Pgd(epsilon, norm, steps, epsilon / 8, restarts)
        found = attack.perturb(digits.model, digits.images, digits.labels)
        standing.append(right(digits.model, found, digits.labels))
    for weaker, stronger in pairwise(standing):
        assert not bool((stronger & ~weaker).any())
    assert int(standing[-1].sum()) < int(standing[0].sum())


def test_the_training_form_makes_the_same_walk() -> None:
    w, images = weights(4), noise(6, 4)
    labels = torch.tensor([0, 1] * 3)
    found = ascend_loss(
        Linear(w), images, labels, Ball(0.1), step_size=0.06, steps=2, generator=None
    )
    away = torch.where(labels == 0, 1.0, -1.0).view(-1, 1, 1, 1)
    torch.testing.assert_close(found, (images + 0.1 * away * w.sign()).clamp(0, 1))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_training_form_attacks_and_leaves_gradients_alone(norm: Norm, digits: Trained) -> None:
    model = digits.model
    model.requires_grad_(True)
    try:
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        before = snapshot(model)
        ball = Ball(0.1 if norm == "linf" else 1.8, norm)
        found = ascend_loss(
            model,
            digits.images,
            digits.labels,
            ball,
            step_size=ball.epsilon / 4,
            steps=5,
            generator=torch.Generator().manual_seed(0),
        )
        assert snapshot(model) == before
    finally:
        model.requires_grad_(False)
        for parameter in model.parameters():
            parameter.grad = None
    assert bool(ball.holds(found, digits.images).all())
    assert float(sizes(found, digits.images, norm).min()) > 0
    assert not found.requires_grad
    assert accuracy(model, found, digits.labels) < 40
