import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, kl_divergence

from rwsstore.attacks import Ball, ascend_divergence, divergence
from rwsstore.errors import TensorError
from tests.attacks.making import Linear, Trained, noise, snapshot, weights


def logits(seed: int, count: int = 20, classes: int = 5) -> Tensor:
    return 4 * torch.randn(count, classes, generator=torch.Generator().manual_seed(seed))


def climb(digits: Trained, steps: int = 6, seed: int = 0) -> Tensor:
    return ascend_divergence(
        digits.model, digits.images[:50], Ball(0.05), step_size=0.02, steps=steps,
        generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip


def test_it_is_the_kl_divergence() -> None:
    before, after = logits(0), logits(1)
    wanted = kl_divergence(Categorical(logits=before.double()), Categorical(logits=after.double()))
    torch.testing.assert_close(divergence(before, after).double(), wanted, rtol=1e-5, atol=1e-5)
    assert divergence(before, before).abs().max() < 1e-6
    assert not torch.allclose(divergence(before, after), divergence(after, before))


def test_it_has_a_gradient_on_both_sides() -> None:
    before, after = logits(0).requires_grad_(), logits(1).requires_grad_()
    for tensor in torch.autograd.grad(divergence(before, after).sum(), (before, after)):
        assert bool(tensor.abs().sum() > 0)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_it_is_computed_in_float32(kind: torch.dtype) -> None:
    before, after = logits(0).to(kind), logits(1).to(kind)
    found = divergence(before, after)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, divergence(before.float(), after.float()))


def test_predictions_it_is_sure_of_stay_finite() -> None:
    sure = torch.tensor([[200.0, -200.0]])
    assert divergence(sure, -sure).tolist() == [400.0]


def test_the_training_form_moves_predictions_and_leaves_the_model_alone(digits: Trained) -> None:
    model, images = digits.model, digits.images[:50]
    model.requires_grad_(True)
    try:
        before = snapshot(model)
        found = climb(digits)
        assert snapshot(model) == before
    finally:
        model.requires_grad_(False)
    assert bool(Ball(0.05).holds(found, images).all())
    assert not found.requires_grad
    still = model(images)
    moved = divergence(still, model(found))
    assert bool((moved > divergence(still, model(climb(digits, steps=0)))).all())
    assert torch.equal(found, climb(digits))
    assert not torch.equal(found, climb(digits, seed=1))


def test_of_two_classes_it_goes_where_the_random_start_points() -> None:
    model, images = Linear(weights()), noise(8).clamp(0.4, 0.6)
    generator = torch.Generator().manual_seed(3)
    start = Ball(0.1).project(
        images + Ball(0.1).sample(images.shape, torch.Generator().manual_seed(3)), images
    )
    found = ascend_divergence(model, images, Ball(0.1), step_size=0.3, steps=1, generator=generator)
    away = (model(start) - model(images))[:, 1].sign()
    corner = images + 0.1 * away[:, None, None, None] * weights().sign()
    torch.testing.assert_close(found, corner)


def test_weights_that_are_not_finite() -> None:
    model = Linear(weights() * float("nan"))
    with pytest.raises(TensorError, match="NaN"):
        ascend_divergence(
            model, noise(), Ball(0.1), step_size=0.1, steps=1, generator=torch.Generator()
        )
