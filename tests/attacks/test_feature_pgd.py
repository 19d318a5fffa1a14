import pytest
import torch
from torch import nn

from rwsstore.attacks import Ball, FeaturePgd, Norm, Pgd, ascend_features
from rwsstore.attacks.pgd import FeatureChange
from tests.attacks.making import Trained, accuracy, noise, sizes, snapshot


class Scaled(nn.Module):
    """A layer that multiplies by 2, one that multiplies by −3, and a ReLU in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 1, groups=3, bias=False)
        self.second = nn.Conv2d(3, 3, 1, groups=3, bias=False)
        self.head = nn.Linear(3, 2)
        nn.init.constant_(self.first.weight, 2.0)
        nn.init.constant_(self.second.weight, -3.0)
        nn.init.constant_(self.head.weight, 0.0)
        nn.init.zeros_(self.head.bias)
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = self.second(self.first(images)).relu_()
        logits: torch.Tensor = self.head(found.mean((2, 3)))
        return logits


def test_the_change_of_layers_by_hand() -> None:
    images = noise(4, 3)
    change = noise(4, 3, seed=1) - 0.5
    objective = FeatureChange(Scaled(), ("first", "second"), images)
    rows = torch.tensor([2, 0])
    found, logits = objective(images[rows] + change[rows], rows)
    lengths = change[rows].flatten(1).norm(dim=1)
    # ‖2δ‖ + ‖−6δ‖; the ReLU in place comes after and must not be seen.
    torch.testing.assert_close(found, 8 * lengths)
    assert logits.shape == (2, 2)
    one, _ = FeatureChange(Scaled(), ("first",), images)(images + change, torch.arange(4))
    torch.testing.assert_close(one, 2 * change.flatten(1).norm(dim=1))


def test_linf_goes_to_a_corner() -> None:
    images = torch.full((3, 3, 2, 2), 0.5)
    attack = FeaturePgd(0.1, layers=("first",))
    labels = torch.zeros(3, dtype=torch.int64)
    found = attack.perturb(Scaled(), images, labels)
    torch.testing.assert_close((found - images).abs(), torch.full_like(images, 0.1))
    assert len({tuple(one.flatten().tolist()) for one in found}) == 3


def test_l2_goes_to_the_sphere() -> None:
    images = torch.full((3, 3, 2, 2), 0.5)
    labels = torch.zeros(3, dtype=torch.int64)
    found = FeaturePgd(0.2, "l2", layers=("second",)).perturb(Scaled(), images, labels)
    torch.testing.assert_close(
        sizes(found, images, "l2"), torch.full((3,), 0.2, dtype=torch.float64)
    )


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("layers", [("0",), ("2", "5")])
def test_features_move_further_than_by_chance(
    norm: Norm, layers: tuple[str, ...], digits: Trained
) -> None:
    epsilon = 0.05 if norm == "linf" else 0.8
    attack = FeaturePgd(epsilon, norm, layers=layers)
    found = attack.perturb(digits.model, digits.images, digits.labels, early_exit=False)
    chance = attack.ball.sample(digits.images.shape, torch.Generator().manual_seed(0))
    random = attack.ball.project(digits.images + chance, digits.images)
    rows = torch.arange(len(digits.images))
    objective = FeatureChange(digits.model, layers, digits.images)
    assert bool((objective(found, rows)[0] > objective(random, rows)[0]).all())


def test_it_fools_but_less_than_an_attack_on_the_loss(digits: Trained) -> None:
    arguments = (digits.model, digits.images, digits.labels)
    clean = accuracy(*arguments)
    features = FeaturePgd(0.08, steps=20, layers=("2",)).perturb(*arguments)
    loss = Pgd(0.08, steps=20).perturb(*arguments)
    by_features = accuracy(digits.model, features, digits.labels)
    assert accuracy(digits.model, loss, digits.labels) <= by_features < clean - 5


def test_the_training_form_moves_features_and_leaves_the_model_alone(digits: Trained) -> None:
    model, images = digits.model, digits.images[:50]
    model.requires_grad_(True)
    try:
        before = snapshot(model)
        found = ascend_features(
            model,
            ("0", "5"),
            images,
            Ball(0.05),
            step_size=0.01,
            steps=6,
            generator=torch.Generator().manual_seed(0),
        )
        assert snapshot(model) == before
    finally:
        model.requires_grad_(False)
    assert bool(Ball(0.05).holds(found, images).all())
    assert not found.requires_grad
    rows = torch.arange(50)
    objective = FeatureChange(model, ("0", "5"), images)
    start = Ball(0.05).sample(images.shape, torch.Generator().manual_seed(0))
    begun = objective(Ball(0.05).project(images + start, images), rows)[0]
    assert bool((objective(found, rows)[0] > begun).all())
