import math

import pytest
import torch
from torch import Tensor

from rwsstore.patches import parse_request
from rwsstore.runtime import Chosen
from rwsstore_service.api.oip.messages import Asked, AskedOutput, patchset_text, write_answer
from rwsstore_service.engine.records import PredictedImages
from rwsstore_service.wire.problems import ProblemError
from tests.service.api.oip.fakes import CONTRACT
from tests.service.api.oip.wire import read_answer

LOGITS = torch.tensor([[0.1, -1e-30, 3.0], [1e38, -0.0, 7.25]])
LABELS = ["ship", "bird"]
BOTH = (AskedOutput("logits", False), AskedOutput("labels", False))


def asked(*outputs: AskedOutput, id: str | None = None) -> Asked:  # noqa: A002
    return Asked(id, "active", torch.zeros(2, 3, 2, 2), outputs)


def prediction(logits: Tensor = LOGITS, generation: int | None = 7) -> PredictedImages:
    patches = (Chosen("fog", "a" * 64, 0.6), Chosen("blur@2", "b" * 64, 1.0))
    return PredictedImages(logits, patches, "d" * 64, generation, 0.0, 0.0)


@pytest.mark.parametrize("binary_logits", [False, True])
@pytest.mark.parametrize("binary_labels", [False, True])
@pytest.mark.parametrize("labels_first", [False, True])
def test_outputs_come_in_the_asked_order_and_to_the_bit(
    binary_logits: bool, binary_labels: bool, labels_first: bool
) -> None:
    outputs = (AskedOutput("logits", binary_logits), AskedOutput("labels", binary_labels))
    outputs = outputs[::-1] if labels_first else outputs
    written = write_answer(asked(*outputs), prediction(), CONTRACT)
    assert (written.header_length is not None) == (binary_logits or binary_labels)
    _, found = read_answer(written.body, written.header_length)
    assert list(found) == [output.name for output in outputs]
    assert torch.equal(found["logits"].view(torch.int32), LOGITS.view(torch.int32))
    assert found["labels"] == LABELS


def test_the_answer_says_which_weights_made_it() -> None:
    written = write_answer(asked(*BOTH, id="42"), prediction(), CONTRACT)
    answer, _ = read_answer(written.body, written.header_length)
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("tiny", "1", "42")
    assert answer["parameters"] == {
        "patchset": "blur@2=1,fog=0.6",
        "state_digest": "d" * 64,
        "generation": 7,
    }


def test_id_and_generation_are_absent_where_there_is_none() -> None:
    written = write_answer(asked(*BOTH), prediction(generation=None), CONTRACT)
    answer, _ = read_answer(written.body, written.header_length)
    assert "id" not in answer
    assert "generation" not in answer["parameters"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("binary", [False, True])
def test_logits_that_are_not_finite_are_a_problem(value: float, binary: bool) -> None:
    with pytest.raises(ProblemError, match="smaller strengths") as found:
        write_answer(
            asked(AskedOutput("logits", binary)), prediction(torch.tensor([[value]])), CONTRACT
        )
    assert found.value.kind.name == "not-finite"


@pytest.mark.parametrize("images", [1, 200])  # of many, torch finds the labels
def test_of_equally_likely_labels_the_first_is_told(images: int) -> None:
    logits = torch.tensor([[0.5, 2.0, 2.0], [2.0, 2.0, 2.0], [-1.0, -2.0, 0.0]]).repeat(images, 1)
    written = write_answer(asked(AskedOutput("labels", False)), prediction(logits), CONTRACT)
    _, found = read_answer(written.body, written.header_length)
    assert found["labels"] == ["café", "bird", "ship"] * images


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_one_number_of_many_that_is_not_finite(value: float) -> None:
    logits = torch.zeros(200, 3)
    logits[199, 2] = value
    with pytest.raises(ProblemError, match="not finite"):
        write_answer(asked(*BOTH), prediction(logits), CONTRACT)


@pytest.mark.parametrize("alpha", [0.1, 1.0, 2.0, 1e-7, 1 / 3, 5e-324, 1e22])
def test_a_patch_set_reads_back_as_it_was_written(alpha: float) -> None:
    chosen = [Chosen("fog", "a" * 64, alpha), Chosen("a" * 64, "a" * 64, 0.5)]
    assert parse_request(patchset_text(chosen)) == {"fog": alpha, "a" * 64: 0.5}


def test_equal_sets_are_equal_texts() -> None:
    chosen = [Chosen("fog", "a" * 64, 0.6), Chosen("blur", "b" * 64, 0.4)]
    assert patchset_text(chosen) == patchset_text(chosen[::-1]) == "blur=0.4,fog=0.6"
    assert patchset_text([]) == "none"
