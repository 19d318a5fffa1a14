import math
from typing import Any

import pytest
import torch
from torch import Tensor

from rwsstore.runtime import Chosen
from rwsstore_client.contract import Predictions
from rwsstore_service.api.predict import prediction_members, predictions_of
from rwsstore_service.engine.records import PredictedImages


def names(count: int) -> tuple[str, ...]:
    return tuple(f"class {number}" for number in range(count))


def tops(logits: Tensor, top_k: int) -> list[list[dict[str, Any]]]:
    found = predictions_of(logits, names(logits.shape[1]), top_k)
    return [one["top"] for one in found]


# The last two are ranked by torch, the others here.
@pytest.mark.parametrize("shape", [(1, 10), (8, 10), (1, 1), (1, 256), (1, 257), (20, 100)])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 1e4])
def test_it_says_what_torch_says(shape: tuple[int, int], scale: float) -> None:
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * scale
    chances = logits.double().softmax(dim=1)
    for row, top in zip(chances, tops(logits, shape[1]), strict=True):
        expected = row.sort(descending=True).values.tolist()
        assert [one["probability"] for one in top] == pytest.approx(expected, abs=1e-6)
        assert sorted(one["index"] for one in top) == list(range(len(row)))
        for one in top:
            assert one["label"] == f"class {one['index']}"
            assert one["probability"] == pytest.approx(float(row[one["index"]]), abs=1e-6)


@pytest.mark.parametrize("images", [1, 30])
def test_the_likeliest_come_first(images: int) -> None:
    logits = torch.randn(images, 10, generator=torch.Generator().manual_seed(0))
    found = [[one["index"] for one in top] for top in tops(logits, 10)]
    assert found == logits.argsort(dim=1, descending=True).tolist()


@pytest.mark.parametrize("top_k", [1, 2, 10])
def test_only_the_likeliest_are_told(top_k: int) -> None:
    (top,) = tops(torch.arange(10.0).unsqueeze(0), top_k)
    assert [one["index"] for one in top] == list(range(9, 9 - top_k, -1))


def test_of_equally_likely_ones_the_first_comes_first() -> None:
    (top,) = tops(torch.tensor([[1.0, 3.0, 1.0, 3.0, 1.0]]), 5)
    assert [one["index"] for one in top] == [1, 3, 0, 2, 4]
    assert top[0]["probability"] == top[1]["probability"]
    assert math.fsum(one["probability"] for one in top) == pytest.approx(1, abs=1e-12)


def test_one_class_is_certain() -> None:
    assert tops(torch.tensor([[-3e38]]), 1) == [
        [{"label": "class 0", "index": 0, "probability": 1.0}]
    ]


def test_the_largest_logits_there_are() -> None:
    (top,) = tops(torch.tensor([[3e38, -3e38, 3e38, 0.0]]), 4)
    assert [(one["index"], one["probability"]) for one in top] == [
        (0, 0.5),
        (2, 0.5),
        (3, 0.0),
        (1, 0.0),
    ]


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_probability_is_nan(value: float, place: int) -> None:
    logits = torch.tensor([[1000.0, -1000.0, 5.0]])
    logits[0, place] = value
    (top,) = tops(logits, 3)
    assert torch.softmax(logits, dim=1).isnan().all()
    assert all(math.isnan(one["probability"]) for one in top)


@pytest.mark.parametrize("generation", [None, 7])
def test_the_members_are_those_of_the_answer(generation: int | None) -> None:
    patches = (Chosen("fog", "a" * 64, 0.6), Chosen("blur@2", "b" * 64, 1.0))
    found = PredictedImages(torch.zeros(2, 3), patches, "d" * 64, generation, 0.001, 0.25)
    predictions = predictions_of(found.logits, names(3), 2)
    members = prediction_members("tiny", found, predictions, 0.5)
    answer = Predictions.model_validate(members)
    assert answer.model_dump(mode="json") == members
    assert [(one.patch, one.digest, one.alpha) for one in answer.patches] == [
        ("fog", "a" * 64, 0.6),
        ("blur@2", "b" * 64, 1.0),
    ]
    assert answer.generation == generation
    assert answer.timing.model_dump() == {"queued_ms": 1, "decode_ms": 500, "compute_ms": 250}
    assert [one.index for one in answer.predictions[1].top] == [0, 1]
