"""The gradient over a data set against autograd in one piece, and against differences."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rwsstore.models import fold_batchnorm
from rwsstore.probes.parameter_corruption import Sample, loss_gradient, measure
from rwsstore.probes.parameter_corruption.indicator import LossAndAccuracy
from tests.models.networks import lively_classifier
from tests.probes.parameter_corruption.making import IMAGES, sample, tiny, witness


def whole(model: nn.Module) -> dict[str, torch.Tensor]:
    """The gradient in one piece."""
    images = (IMAGES.images.float() / 255).to(next(model.parameters()))
    loss = F.cross_entropy(model(images), IMAGES.labels)
    names, parameters = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


@pytest.mark.parametrize("batch_size", [1, 7, 45, 250])
def test_it_is_that_of_the_mean_loss_whatever_the_batch(batch_size: int) -> None:
    model = tiny()
    found = loss_gradient(model, sample(model, batch_size=batch_size))
    expected = whole(tiny(torch.float64))
    assert list(found.tensors) == list(expected)
    for name, tensor in expected.items():
        assert found.tensors[name].dtype == torch.float64
        assert torch.allclose(found.tensors[name], tensor, rtol=1e-4, atol=1e-6)
    measured = measure(model, sample(model)).loss
    assert measured is not None
    assert found.loss == pytest.approx(measured, rel=1e-6)


def test_it_is_the_slope() -> None:
    model = tiny(torch.float64)
    gradient = loss_gradient(model, sample(model)).tensors["gn.weight"]
    for place in range(3):
        losses = []
        for step in (1e-6, -1e-6):
            moved = tiny(torch.float64)
            with torch.no_grad():
                moved.gn.weight[place] += step
            losses.append(measure(moved, sample(moved)).loss or 0.0)
        slope = (losses[0] - losses[1]) / 2e-6
        assert float(gradient[place]) == pytest.approx(slope, rel=1e-4, abs=1e-8)


def test_some_parameters_alone() -> None:
    model = tiny()
    everything = loss_gradient(model, sample(model)).tensors
    found = loss_gradient(model, sample(model), ["fc.bias", "bn.weight"]).tensors
    assert list(found) == ["bn.weight", "fc.bias"]
    assert all(torch.allclose(found[name], everything[name]) for name in found)


def test_what_the_forward_pass_leaves_out_has_a_gradient_of_0() -> None:
    model = tiny()
    model.idle = nn.Linear(2, 2)
    model.eval()
    found = loss_gradient(model, sample(model)).tensors
    assert not found["idle.weight"].any()
    assert found["fc.weight"].any()


def test_the_model_stays_as_it_was() -> None:
    for model in (tiny(), lively_classifier(size=6), fold_batchnorm(lively_classifier(size=6))):
        frozen, *rest = model.parameters()
        frozen.requires_grad_(False)
        rest[0].grad = torch.ones_like(rest[0])
        images = Sample.of(model, IMAGES.images[:6], IMAGES.labels[:6], batch_size=4)
        before = witness(model)
        loss_gradient(model, images)
        with torch.no_grad():
            assert loss_gradient(model, images).tensors
        with torch.inference_mode():
            assert loss_gradient(model, images).tensors
        measure(model, images)
        assert witness(model) == before


def test_images_as_bytes_or_in_the_unit_range_are_the_same() -> None:
    model = tiny()
    floats = Sample.of(model, IMAGES.images.float() / 255, IMAGES.labels)
    one, other = loss_gradient(model, floats), loss_gradient(model, sample(model))
    assert one.loss == other.loss
    assert all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)


def test_loss_and_accuracy() -> None:
    model = tiny()
    with torch.no_grad():
        logits = model(IMAGES.images.float() / 255)
    found = measure(model, sample(model, batch_size=8))
    assert found.loss == pytest.approx(float(F.cross_entropy(logits, IMAGES.labels)), rel=1e-5)
    right = int((logits.argmax(1) == IMAGES.labels).sum())
    assert found.accuracy == pytest.approx(100 * right / 45)
    assert found.accuracy > 60  # so that there is something to lose


class Broken(nn.Module):
    """NaN where it would have been right, for the images of one class."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = F.one_hot(x.mean((2, 3)).argmax(1), 3).float()
        return torch.where(logits[:, :1] == 1, torch.nan, logits)


def test_an_answer_of_nan_is_wrong() -> None:
    images: dict[str, Any] = {"classes": 3, "batch_size": 10}
    found = measure(Broken(), Sample(IMAGES.images, torch.zeros_like(IMAGES.labels), **images))
    assert found == LossAndAccuracy(None, 0.0)
