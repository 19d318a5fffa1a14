"""Errors as RFC 9457 problems: one shape on every route."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from rwsstore.config import short
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


_log = logging.getLogger(__name__)

_OF_STATUS = {
    400: "bad-request",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-media",
}
_SHOWN = 20
# Where pydantic's own words are about Python.
_MESSAGES = {
    "extra_forbidden": "nothing of this name is known",
    "list_type": "expected a list",
    "model_attributes_type": "expected an object",
    "model_type": "expected an object",
    "tuple_type": "expected a list",
}


def add_handlers(app: FastAPI) -> None:
    """Let an app answer every error with a problem."""
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(RwsError, _library_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101  (registered for it)
    return _respond(request, error)


async def _library_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RwsError)  # noqa: S101
    problem = describe(error)
    if problem.detail != str(error):
        _log.error("%s", error)  # what the client is not told
    return _respond(request, problem)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    name = _OF_STATUS.get(error.status_code, "bad-request")
    headers = dict(error.headers or {})
    if name == "not-found":
        detail = f"there is nothing at {short(request.url.path)}; see /docs"
    elif name == "method-not-allowed":
        detail = f"{request.method} is not for {short(request.url.path)}; see /docs"
        headers["Allow"] = _allowed(request)
    else:
        detail = short(str(error.detail))
    return _respond(request, ProblemError(name, detail, headers=headers))


def _allowed(request: Request) -> str:
    """The methods of every route at a path; the router names those of the first alone."""
    methods: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        if route.path_regex.match(request.scope["path"]):
            methods |= route.methods or set()
    return ", ".join(sorted(methods))


async def _invalid(request: Request, error: Exception) -> Response:
    """Say where and what, without echoing the value: a NaN in it could not be written as JSON."""
    assert isinstance(error, RequestValidationError)  # noqa: S101
    faults = [read_fault(fault) for fault in error.errors()[:_SHOWN]]
    first = faults[0] if faults else {"where": "", "message": "not allowed"}
    detail = f"{first['where']}: {first['message']}" if first["where"] else first["message"]
    return _respond(request, ProblemError("invalid-request", detail, errors=faults))


def read_fault(fault: Mapping[str, Any]) -> dict[str, str]:
    """Say where one of pydantic's faults is, and what it is, in words of the API."""
    words = str(fault.get("msg", "")).removeprefix("Value error, ")
    words = words.replace("Tuple should", "List should").replace(" after validation", "")
    message = _MESSAGES.get(str(fault.get("type")), words)
    return {"where": _where(fault.get("loc", ())), "message": short(message)}


def _where(steps: Sequence[object]) -> str:
    return short(".".join(str(step) for step in steps))


def _respond(request: Request, error: ProblemError) -> Response:
    path = request.url.path
    request_id = request.scope.get("state", {}).get("request_id", "")
    return problem_response(error, instance=short(path), request_id=request_id)
