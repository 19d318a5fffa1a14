"""What the service's schemas say is what the SDK's results hold."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

import rwsstore_client
from rwsstore_client import (
    AppliedPatch,
    AuditLog,
    AuditRecord,
    Card,
    CardPoint,
    ComputeInfo,
    Fingerprint,
    Generation,
    History,
    InputInfo,
    Label,
    ModelInfo,
    OfferedFormat,
    Patch,
    PatchSet,
    Prediction,
    Predictions,
    ResolvedPatch,
    Timing,
    Verification,
)
from rwsstore_client._results import ModelPage, PatchPage
from rwsstore_service.api import contract as answers
from tests.clients.fake import FakeService

PAIRS: list[tuple[type[BaseModel], type[BaseModel]]] = [
    (AppliedPatch, answers.AppliedPatch),
    (AuditLog, answers.AuditAnswer),
    (AuditRecord, answers.AuditRecord),
    (Card, answers.CardAnswer),
    (CardPoint, answers.CardPointAnswer),
    (ComputeInfo, answers.ComputeAnswer),
    (Fingerprint, answers.Fingerprint),
    (Generation, answers.GenerationAnswer),
    (History, answers.HistoryAnswer),
    (InputInfo, answers.InputDescription),
    (Label, answers.LabelProbability),
    (ModelInfo, answers.ModelAnswer),
    (ModelPage, answers.ModelList),
    (OfferedFormat, answers.OfferedFormat),
    (Patch, answers.PatchAnswer),
    (PatchPage, answers.PatchList),
    (PatchSet, answers.PatchSetAnswer),
    (Prediction, answers.Prediction),
    (Predictions, answers.PredictAnswer),
    (ResolvedPatch, answers.ResolvedPatch),
    (Timing, answers.Timing),
    (Verification, answers.VerificationAnswer),
]


def test_every_answer_has_its_result() -> None:
    assert {answer for _, answer in PAIRS} == {
        kind for kind in _kinds_of(answers.Answer) if kind.__module__ == answers.__name__
    }


def _kinds_of(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _kinds_of(kind)


@pytest.mark.parametrize(("result", "answer"), PAIRS)
def test_the_fields_are_the_same(result: type[BaseModel], answer: type[BaseModel]) -> None:
    assert result.model_fields.keys() == answer.model_fields.keys()
    required = {name for name, field in result.model_fields.items() if field.is_required()}
    promised = {name for name, field in answer.model_fields.items() if field.is_required()}
    assert required <= promised


def test_answers_are_read_in_full() -> None:
    fake = FakeService()
    fake.patches[0].parts = (answers.ResolvedPatch(name="x", digest="d", alpha=0.1 + 0.2),)
    full = fake.patches[0].answer().model_copy(
        update={
            "card": answers.CardAnswer(
                images=5, points=(answers.CardPointAnswer(alpha=0.5, ta=90.0, ra=80.0),)
            )
        }
    )  # fmt: skip
    read = Patch.model_validate_json(full.model_dump_json())
    assert read.model_dump() == full.model_dump()
    generation = fake.history[0]
    again = Generation.model_validate_json(generation.model_dump_json())
    assert again.model_dump() == generation.model_dump()


def test_newer_services_may_say_more() -> None:
    document: dict[str, Any] = {"queued_ms": 1, "decode_ms": 2, "compute_ms": 3, "brewed_ms": 4}
    read = Timing.model_validate_json(json.dumps(document))
    assert not hasattr(read, "brewed_ms")
    with pytest.raises(ValidationError):
        Timing.model_validate_json("{}")


def test_results_are_immutable() -> None:
    timing = Timing(queued_ms=1, decode_ms=2, compute_ms=3)
    with pytest.raises(ValidationError, match="frozen"):
        timing.queued_ms = 5  # type: ignore[misc]


def test_public_names_are_sorted_and_there() -> None:
    names = rwsstore_client.__all__
    assert list(names) == sorted(names)
    for name in names:
        public = getattr(rwsstore_client, name)
        if isinstance(public, type):
            assert public.__module__ == "rwsstore_client"
    public = {name for name in vars(rwsstore_client) if not name.startswith("_")}
    assert public <= set(names)
