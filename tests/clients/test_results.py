"""The wire contract: the SDK reads it leniently, the service answers with it in full."""

import json
from types import ModuleType
from typing import Any, get_args

import pytest
from pydantic import ValidationError

import rwsstore_client
from rwsstore_client import (
    AuditRecord,
    Card,
    CardPoint,
    ComputeInfo,
    Generation,
    ModelInfo,
    Patch,
    ResolvedPatch,
    Timing,
)
from rwsstore_service.engine.format_choice import WhyFormat
from rwsstore_service.engine.records import Action, SetAction
from tests.clients.fake import FakeService


@pytest.mark.parametrize(
    ("kind", "member", "values"),
    [
        (Generation, "action", get_args(SetAction)),
        (AuditRecord, "action", get_args(Action)),
        (ComputeInfo, "why", get_args(WhyFormat)),
    ],
)
def test_the_values_described_are_the_engines(kind: Any, member: str, values: Any) -> None:
    described = kind.model_json_schema()["properties"][member]["enum"]
    assert described == [*values]


def test_what_older_services_leave_out_may_be_missing() -> None:
    fake = FakeService()
    patch = json.loads(fake.patches[0].answer().model_dump_json())
    for member in ("attack", "budget", "touched_bytes"):
        assert member in Patch.model_json_schema()["required"]
        del patch[member]
    assert Patch.model_validate_json(json.dumps(patch)).touched_bytes is None
    assert "compute" in ModelInfo.model_json_schema()["required"]
    assert ModelInfo.model_fields["compute"].get_default() is None


def test_answers_are_read_in_full() -> None:
    fake = FakeService()
    fake.patches[0].parts = (ResolvedPatch(name="x", digest="d", alpha=0.1 + 0.2),)
    points = (CardPoint(alpha=0.5, ta=90.0, ra=80.0),)
    full = fake.patches[0].answer().model_copy(update={"card": Card(images=5, points=points)})
    assert Patch.model_validate_json(full.model_dump_json()) == full
    generation = fake.history[0]
    assert Generation.model_validate_json(generation.model_dump_json()) == generation


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
    held = vars(rwsstore_client).items()
    public = {name for name, value in held if not isinstance(value, ModuleType)}
    assert {name for name in public if not name.startswith("_")} <= set(names)
