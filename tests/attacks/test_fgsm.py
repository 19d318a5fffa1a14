import pytest
import torch

from rwsstore.attacks import Fgsm, Norm
from tests.attacks.making import Linear, noise, weights


def middle(count: int = 4, size: int = 2) -> torch.Tensor:
    """Images far enough from black and white for the box not to matter."""
    return 0.4 + 0.2 * noise(count, size)


def test_linf_in_closed_form() -> None:
    w, images = weights(), middle()
    labels = torch.tensor([0, 1, 0, 1])
    found = Fgsm(0.03).perturb(Linear(w), images, labels, early_exit=False)
    away = torch.where(labels == 0, 1.0, -1.0).view(-1, 1, 1, 1)
    torch.testing.assert_close(found, images + 0.03 * away * w.sign())


def test_l2_in_closed_form() -> None:
    w, images = weights(), middle()
    labels = torch.tensor([0, 1, 0, 1])
    found = Fgsm(0.3, "l2").perturb(Linear(w), images, labels, early_exit=False)
    away = torch.where(labels == 0, 1.0, -1.0).view(-1, 1, 1, 1)
    torch.testing.assert_close(found, images + 0.3 * away * w / w.norm())


def test_the_box_cuts() -> None:
    images = torch.tensor([0.02, 0.5, 0.99]).view(1, 3, 1, 1)
    model = Linear(torch.tensor([-1.0, 1.0, 1.0]))
    found = Fgsm(0.1).perturb(model, images, torch.tensor([0]), early_exit=False)
    torch.testing.assert_close(found.flatten(), torch.tensor([0.0, 0.6, 1.0]))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_flat_loss_moves_nothing(norm: Norm) -> None:
    images = middle()
    model = Linear(torch.zeros(12), bias=-1.0)
    found = Fgsm(0.1, norm).perturb(model, images, torch.zeros(4, dtype=torch.int64))
    assert torch.equal(found, images)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("sure", [10.0, 40.0, 80.0])
def test_a_network_that_is_sure_of_itself_is_attacked_all_the_same(norm: Norm, sure: float) -> None:
    # In float32, 1 − p(label) is 0 from a margin of 17 on: the usual cross-entropy loses its way.
    w = weights()
    images = middle(2)
    labels = torch.ones(2, dtype=torch.int64)
    expected = Fgsm(0.1, norm).perturb(Linear(w), images, labels, early_exit=False)
    found = Fgsm(0.1, norm).perturb(Linear(w, bias=sure), images, labels, early_exit=False)
    torch.testing.assert_close(found, expected)
