"""Errors as problems: one shape, and every error of the library and the engine is one."""

import inspect
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rwsstore import errors
from rwsstore_service.engine import errors as engine_errors
from rwsstore_service.engine.errors import DuplicatePatchError, StaleGenerationError
from rwsstore_service.wire.problems import (
    MEDIA_TYPE,
    PROBLEMS,
    ProblemError,
    describe,
    problem_response,
    problem_responses,
)

# A base class, and an extra that is missing on the operator's side: nothing that a caller did.
UNFORESEEN = {"RwsError", "MissingExtraError"}
ARGUMENTS: dict[type[errors.RwsError], tuple[Any, ...]] = {
    errors.UnknownNameError: ("corruption", "smog", ["fog"]),
    errors.MissingExtraError: ("a plot", "plots"),
    StaleGenerationError: ([6], 7),
    DuplicatePatchError: ("0" * 64, "mine", 2),
}


def errors_of(module: ModuleType) -> list[type[errors.RwsError]]:
    return [
        one
        for _, one in inspect.getmembers(module, inspect.isclass)
        if issubclass(one, errors.RwsError) and one.__module__ == module.__name__
    ]


@pytest.mark.parametrize(
    "error", [*errors_of(errors), *errors_of(engine_errors)], ids=lambda error: error.__name__
)
def test_every_error_is_a_problem(error: type[errors.RwsError]) -> None:
    made = describe(error(*ARGUMENTS.get(error, ("x",))))
    assert (made.kind.name == "internal") == (error.__name__ in UNFORESEEN)
    assert (made.headers.get("Retry-After") is not None) == (made.kind.status == 503)


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (errors.ConfigError("x"), "invalid-request"),
        (errors.UnknownPatchError("x"), "unknown-patch"),
        (errors.TooLargeError("x"), "too-large"),
        (errors.UnsupportedError("x"), "unsupported-media"),
        (errors.FormatError("x"), "invalid-patch"),
        (errors.TensorError("x"), "not-finite"),
        (errors.MismatchError("x"), "wrong-model"),
        (errors.IntegrityError("x"), "integrity"),
        (errors.StoreError("x"), "unavailable"),
        (engine_errors.InvalidImageError("x"), "invalid-image"),
        (engine_errors.OverloadedError("x"), "overloaded"),
    ],
)
def test_the_narrowest_kind_counts(error: errors.RwsError, name: str) -> None:
    assert describe(error).kind.name == name


def test_members_that_programs_need() -> None:
    assert describe(StaleGenerationError([6], 7)).extra == {"current_generation": 7}
    assert describe(DuplicatePatchError("0" * 64, "mine", 2)).extra == {
        "digest": "0" * 64, "name": "mine", "version": 2,
    }  # fmt: skip


def test_the_response() -> None:
    error = ProblemError("rate-limited", "wait", headers={"Retry-After": "2"}, status=200, more=1)
    response = problem_response(error, instance="/v1/models", request_id="r")
    assert (response.status_code, response.headers["retry-after"]) == (429, "2")
    assert response.headers["content-type"] == MEDIA_TYPE
    assert json.loads(bytes(response.body)) == {
        "type": "urn:rwsstore:problem:rate-limited",
        "title": PROBLEMS["rate-limited"].title,
        "status": 429,  # no other's word
        "detail": "wait",
        "instance": "/v1/models",
        "request_id": "r",
        "more": 1,
    }


@pytest.mark.parametrize(
    ("path", "there"),
    [("/v2", True), ("/v2/models/bundled/infer", True), ("/v20", False), ("/v1/models", False)],
)
def test_the_open_inference_protocol_reads_error(path: str, there: bool) -> None:
    response = problem_response(
        ProblemError("not-found", "nothing here"), instance=path, request_id=""
    )
    assert (b'"error":"nothing here"' in bytes(response.body)) == there


def test_kinds() -> None:
    for name, kind in PROBLEMS.items():
        assert name == kind.name
        assert 400 <= kind.status < 600
        assert kind.title


def test_what_openapi_says_of_them() -> None:
    found = problem_responses("unknown-patch", "too-large", "unknown-model", "too-large")
    assert list(found) == [404, 413]
    assert found[404]["description"] == "There is no such patch; There is no such model"
    content = found[404]["content"][MEDIA_TYPE]
    assert list(content["examples"]) == ["unknown-patch", "unknown-model"]


def test_faults_of_the_store_name_no_file(tmp_path: Path) -> None:
    for error in (
        errors.IntegrityError(f"object is damaged: moved to {tmp_path}"),
        errors.StorageFullError(f"no space left: {tmp_path}"),
        errors.StoreError(f"cannot open {tmp_path}"),
    ):
        assert str(tmp_path) not in describe(error).detail
        assert "log" in describe(error).detail
    assert "moved" in describe(errors.ConflictError("name 'fog' moved")).detail
