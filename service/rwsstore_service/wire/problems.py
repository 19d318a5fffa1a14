"""Errors as RFC 9457 problems: one shape on every route."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from rwsstore.errors import RwsError
from rwsstore_service.wire.kinds import PROBLEMS, ProblemKind

MEDIA_TYPE = "application/problem+json"


class Fault(BaseModel):
    """One value that is not allowed."""

    where: str
    message: str


class Problem(BaseModel):
    """The body of every error (RFC 9457): the first six always, others where they apply."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="`urn:rwsstore:problem:` and the kind of problem.")
    title: str = Field(description="The same for every problem of this kind.")
    status: int
    detail: str = Field(description="What was found, what was expected, what to do.")
    instance: str = Field(description="The path that was asked.")
    request_id: str
    errors: list[Fault] = Field([], description="Of `invalid-request`: each value and its fault.")
    current_generation: int = Field(0, description="Of `stale-generation`: what is active.")
    digest: str = Field("", description="Of `duplicate-patch`, with `name` and `version`.")
    limit: int = Field(0, description="Of some `too-large`, with what was `found`.")
    error: str = Field("", description="Under /v2: the detail again, where its clients look.")


class ProblemError(Exception):
    """Leaves a route as a problem.

    Args:
        kind: a name in `PROBLEMS`.
        detail: what was found, what was expected, what to do.
        headers: of the response (Retry-After and the like).
        extra: further members of the body.
    """

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.kind = PROBLEMS[kind]
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = extra


def describe(error: RwsError) -> ProblemError:
    """Make the problem that one of the library's errors says it is."""
    headers = {"Retry-After": "1"} if PROBLEMS[error.problem].status == 503 else None
    return ProblemError(error.problem, error.public, headers=headers, **error.members)


def problem_response(error: ProblemError, *, instance: str, request_id: str) -> JSONResponse:
    """Write a problem as a response."""
    known = _body(error.kind, error.detail, instance=instance, request_id=request_id)
    body = {**error.extra, **known}
    return JSONResponse(
        body, status_code=error.kind.status, headers=error.headers, media_type=MEDIA_TYPE
    )


def _body(kind: ProblemKind, detail: str, *, instance: str, request_id: str) -> dict[str, Any]:
    # Clients of the Open Inference Protocol look for the detail there.
    oip = {"error": detail} if instance == "/v2" or instance.startswith("/v2/") else {}
    return {
        **oip,
        "type": f"urn:rwsstore:problem:{kind.name}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "instance": instance,
        "request_id": request_id,
    }


def problem_responses(*names: str) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entry of the problems that a route answers with.

    Each has an example of its name, which stands in the document's components.
    """
    responses: dict[int | str, dict[str, Any]] = {}
    titles: dict[int, list[str]] = {}
    for kind in map(PROBLEMS.__getitem__, dict.fromkeys(names)):
        response = responses.setdefault(kind.status, _response())
        example = {"$ref": f"#/components/examples/{kind.name}"}
        response["content"][MEDIA_TYPE]["examples"][kind.name] = example
        titles.setdefault(kind.status, []).append(kind.title)
        response["description"] = "; ".join(titles[kind.status])
    return responses


def problem_examples() -> dict[str, dict[str, Any]]:
    """One example of each kind of problem, as components of the OpenAPI document."""
    where = {"instance": "/v1/models/bundled/patchset/fog", "request_id": "5f0c6ad09c1d4d7b"}
    return {
        name: {
            "summary": kind.title,
            "value": {**_body(kind, kind.example, **where), **kind.members},
        }
        for name, kind in PROBLEMS.items()
    }


def _response() -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": "", "content": {MEDIA_TYPE: {"schema": schema, "examples": {}}}}
