"""Every error that leaves a route, as a problem."""

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.responses import Response

from rwsstore.config import short
from rwsstore.errors import RwsError
from rwsstore_service.wire.problems import ProblemError, describe, problem_response

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


async def _problem(request: Request, error: Any) -> Response:
    return _respond(request, error)


async def _library_error(request: Request, error: Any) -> Response:
    problem = describe(error)
    if problem.detail != str(error):
        _log.error("%s", error)  # what the client is not told
    return _respond(request, problem)


async def _http_error(request: Request, error: Any) -> Response:
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


async def _invalid(request: Request, error: Any) -> Response:
    """Say where and what, without echoing the value: a NaN in it could not be written as JSON."""
    faults = [read_fault(fault) for fault in error.errors()[:_SHOWN]]
    first = faults[0] if faults else {"where": "", "message": "not allowed"}
    detail = f"{first['where']}: {first['message']}" if first["where"] else first["message"]
    return _respond(request, ProblemError("invalid-request", detail, errors=faults))


def read_fault(fault: Mapping[str, Any]) -> dict[str, str]:
    """Say where one of pydantic's faults is, and what it is, in words of the API."""
    words = str(fault.get("msg", "")).removeprefix("Value error, ")
    words = words.replace("Tuple should", "List should").replace(" after validation", "")
    message = _MESSAGES.get(str(fault.get("type")), words)
    return {"where": short(".".join(map(str, fault.get("loc", ())))), "message": short(message)}


def _respond(request: Request, error: ProblemError) -> Response:
    path = request.url.path
    request_id = request.scope.get("state", {}).get("request_id", "")
    return problem_response(error, instance=short(path), request_id=request_id)
