import pytest
import torch
from torch import Tensor

from rwsstore.measure import accuracy, correctness, predictions
from tests.measure.making import TEST, clean_model


def test_predictions_are_the_largest_logits() -> None:
    logits = torch.tensor([[0.1, 0.9, 0.0], [2.0, -1.0, 1.0], [0.0, 0.0, 0.1]])
    seen: list[int] = []

    def predict(images: Tensor) -> Tensor:
        seen.append(len(images))
        return logits[images[:, 0, 0, 0].long()]

    images = torch.arange(3, dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 3, 1, 1)
    assert predictions(predict, images, batch_size=2).tolist() == [1, 0, 2]
    assert seen == [2, 1]
    assert accuracy(predict, images, torch.tensor([1, 0, 0])) == pytest.approx(200 / 3)
    right = correctness(predict, images, torch.tensor([1, 0, 0]), batch_size=2)
    assert right.tolist() == [True, True, False]


@pytest.mark.parametrize("batch_size", [1, 7, 30, 1000])
def test_the_size_of_the_batches_does_not_matter(batch_size: int) -> None:
    model = clean_model()
    found = predictions(model, TEST.images, batch_size=batch_size)
    assert torch.equal(found, model(TEST.images).argmax(1))
    wanted = 100 * int((found == TEST.labels).sum()) / 30
    assert accuracy(model, TEST.images, TEST.labels, batch_size=batch_size) == pytest.approx(wanted)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_logits_that_are_not_finite_are_wrong(value: float) -> None:
    logits = torch.tensor([[value, 0.0], [1.0, 0.0], [0.0, value]])

    def predict(images: Tensor) -> Tensor:
        return logits

    images, labels = torch.zeros(3, 3, 1, 1), torch.tensor([0, 0, 1])
    assert predictions(predict, images).tolist() == [-1, 0, -1]
    assert correctness(predict, images, labels).tolist() == [False, True, False]


def test_no_gradients_are_kept() -> None:
    model = clean_model()
    assert predictions(model, TEST.images).is_inference()
