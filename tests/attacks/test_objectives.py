from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rwsstore.attacks import Ball, ascend_divergence, ascend_features, ascend_loss
from rwsstore.attacks.search import CrossEntropy, differentiate, measure
from tests.attacks.making import Linear, Trained, noise, weights


def test_the_loss_is_the_cross_entropy(digits: Trained) -> None:
    rows = torch.tensor([7, 3, 90])
    images = digits.images[rows].clone().requires_grad_()
    expected = F.cross_entropy(digits.model(images).double(), digits.labels[rows], reduction="none")
    (gradient,) = torch.autograd.grad(expected.sum(), images)
    objective = CrossEntropy(digits.model, digits.labels)
    found = differentiate(objective, digits.images[rows], rows, torch.arange(len(digits.labels)))
    torch.testing.assert_close(found.loss.double(), expected.detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.gradient, gradient, rtol=1e-3, atol=1e-6)
    assert found.predicted.tolist() == digits.model(digits.images[rows]).argmax(1).tolist()
    loss, predicted = measure(
        objective, digits.images[rows], rows, torch.arange(len(digits.labels))
    )
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


def test_a_training_keeps_its_own_arithmetic(digits: Trained) -> None:
    seen = list[torch.dtype]()
    first = digits.model.get_submodule("0")
    handle = first.register_forward_hook(lambda _module, _given, out: seen.append(out.dtype))
    rows = torch.arange(10)
    objective = CrossEntropy(digits.model, digits.labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for plain in (True, False):
            found = differentiate(objective, digits.images[:10], rows, rows, plain=plain)
            assert found.gradient.dtype == torch.float32
    with torch.no_grad():
        differentiate(objective, digits.images[:10], rows, rows, plain=False)
    handle.remove()
    assert seen == [torch.float32, torch.bfloat16, torch.float32]


@pytest.mark.parametrize("kind", ["loss", "features", "divergence"])
def test_an_ascent_in_bfloat16_leaves_the_weights_their_gradients(
    kind: str, digits: Trained
) -> None:
    # What autocast keeps of the weights must not be what it made without gradients.
    model, images, labels = digits.model, digits.images[:10], digits.labels[:10]
    options: dict[str, Any] = {"step_size": 0.02, "steps": 2, "generator": torch.Generator()}
    ball = Ball(0.05)

    def gradients(attacked: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(
            F.cross_entropy(model(attacked).float(), labels), list(model.parameters())
        )

    model.requires_grad_(True)
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            if kind == "loss":
                attacked = ascend_loss(model, images, labels, ball, **options)
            elif kind == "features":
                attacked = ascend_features(model, ("0", "2"), images, ball, **options)
            else:
                attacked = ascend_divergence(model, images, ball, **options)
            found = gradients(attacked)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            wanted = gradients(attacked)
    finally:
        model.requires_grad_(False)
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))
    assert all(bool(one.abs().sum() > 0) for one in found)
