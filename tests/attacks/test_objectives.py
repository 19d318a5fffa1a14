import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rwsstore.attacks.objectives import CrossEntropy, differentiate, measure
from tests.attacks.making import Linear, Trained, noise, weights


def test_the_loss_is_the_cross_entropy(digits: Trained) -> None:
    rows = torch.tensor([7, 3, 150])
    images = digits.images[rows].clone().requires_grad_()
    expected = F.cross_entropy(digits.model(images).double(), digits.labels[rows], reduction="none")
    (gradient,) = torch.autograd.grad(expected.sum(), images)
    objective = CrossEntropy(digits.model, digits.labels)
    found = differentiate(objective, digits.images[rows], rows, torch.arange(200))
    torch.testing.assert_close(found.loss.double(), expected.detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.gradient, gradient, rtol=1e-3, atol=1e-6)
    assert found.predicted.tolist() == digits.model(digits.images[rows]).argmax(1).tolist()
    loss, predicted = measure(objective, digits.images[rows], rows, torch.arange(200))
    assert torch.equal(loss, found.loss)
    assert torch.equal(predicted, found.predicted)


def test_losses_stay_apart_where_the_network_is_sure() -> None:
    model = Linear(weights(), bias=30.0)
    images = noise(3)
    objective = CrossEntropy(model, torch.ones(3, dtype=torch.int64))
    rows = torch.arange(3)
    found = differentiate(objective, images, rows, rows)
    margins = model(images)[:, 1]
    assert found.loss.argsort().tolist() == margins.argsort(descending=True).tolist()
    torch.testing.assert_close(found.loss, (-margins).exp())


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_autocast_does_not_reach_in(kind: torch.dtype, digits: Trained) -> None:
    rows = torch.arange(10)
    objective = CrossEntropy(digits.model, digits.labels)

    def found() -> Tensor:
        return differentiate(objective, digits.images[:10], rows, rows).gradient

    expected = found()
    with torch.autocast("cpu", dtype=kind):
        assert torch.equal(found(), expected)
    assert expected.dtype == torch.float32
