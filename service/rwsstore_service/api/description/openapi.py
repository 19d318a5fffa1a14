"""The OpenAPI document: what FastAPI makes of the routes, and what holds for all of them.

Routes say what they are, what they take and which problems are their own. What holds for all of
them is added here: the problems that any request may meet before it comes to a route, headers of
answers, and who may do what. Schemas of what routes read by themselves, and examples, which belong
to one story on the bundled model, are in document.json; tests hold them to the schemas and to what
the service really answers.
"""

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.utils import deep_dict_update

from rwsstore import __version__
from rwsstore_service.settings import Settings
from rwsstore_service.wire.gate import Access, Need
from rwsstore_service.wire.limits import HEALTH_PATHS
from rwsstore_service.wire.problems import MEDIA_TYPE, PROBLEMS, problem_body, problem_responses

_OF_STATUS = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}


def _reference(name: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"}}


ETAG = {"headers": _reference("ETag")}
"""Of an answer that is a patch set."""

LOCATION = {"headers": _reference("Location")}
"""Of an answer to what was stored."""


DESCRIPTION = """\
One clean image classifier and a store of tiny robustness patches, put on and taken off the live
model while it predicts.

**Patches.** A patch is named by its name (the newest version that fits the model), by
name@version, by its digest, or by 8 or more of the digest's first digits. A patch set is one string
where a scalar is wanted (`fog=0.6,gaussian_blur=0.4`, `active`, `none`), a list of `{patch, alpha}`
in JSON bodies. A strength is `alpha`, or `ta_loss` (the points of accuracy on clean images that the
patch may cost), or the patch's recommended one.

**Tokens.** Changes, the history and the audit log need an admin token; reading and predicting need
a token only where predict tokens are configured. Send `Authorization: Bearer TOKEN`.

**Errors.** Every error is a problem (RFC 9457, `application/problem+json`). Its `type` is
`urn:rwsstore:problem:` and a name that programs can rely on; its `detail` is for people.

**Safe changes.** The ETag of the active patch set is its generation; If-Match refuses a change to
another one (412). `Idempotency-Key` makes any change safe to send again.

**Requests** may carry an `X-Request-ID` of 1 to 64 letters, digits, `.`, `_`, `-`; every answer has
one, and so do the logs, the history and the audit log.
"""

TAGS = [
    {"name": "Predictions", "description": "Images in, labels out, and which weights said so."},
    {"name": "Patch sets", "description": "What is on the model now, was before, or shall be."},
    {"name": "Patches", "description": "The store."},
    {"name": "Models", "description": "What is served."},
    {"name": "Open Inference Protocol", "description": "For clients that speak it already."},
    {"name": "Health", "description": "For probes and scrapers."},
]

_VERBS = frozenset({"get", "put", "post", "patch", "delete"})
_GATE = ("misdirected", "rate-limited")
COMMON_PROBLEMS = (
    *("bad-request", "request-timeout", "too-large", "unsupported-media", "headers-too-large"),
    *("overloaded", *_GATE),
)
"""What any request may meet before it comes to its route; health checks not what the gate says."""


def describe_with(app: FastAPI, settings: Settings, access: Access) -> None:
    """Let an app describe itself: problems instead of FastAPI's own errors, and who may do what."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _finish(FastAPI.openapi(app), settings, access)
        return app.openapi_schema

    app.license_info = {"name": "Apache 2.0", "identifier": "Apache-2.0"}
    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """All operations of a document: path, verb in small letters, operation."""
    for path, methods in document["paths"].items():
        for verb, operation in methods.items():
            if verb in _VERBS:
                yield path, verb, operation


def _finish(document: dict[str, Any], settings: Settings, access: Access) -> dict[str, Any]:
    text = Path(__file__).with_name("document.json").read_text(encoding="utf-8")
    told = json.loads(text.replace("{version}", __version__))
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    document = _renamed(document, told["names"])
    components = document["components"]
    schemas = components["schemas"]
    deep_dict_update(schemas, told["schemas"])
    components["headers"] = told["headers"]
    components["examples"] = {
        name: _problem_example(name, members) for name, members in told["problems"].items()
    }
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "An admin or predict token."}
    }
    document["paths"] = dict(sorted(document["paths"].items(), key=_version_of))
    for path, verb, operation in operations(document):
        _list_problems(operation, path)
        for part in told["operations"]:
            if operation["operationId"] in part["to"]:
                deep_dict_update(operation, deepcopy(part["adds"]))
        _add_headers(operation)
        _tidy(operation, schemas)
        operation["security"] = _security(access.need(verb.upper(), path))
    # What the operator chose, where a route could not know it.
    predict = document["paths"]["/v1/models/{model}/predict"]["post"]
    form = predict["requestBody"]["content"]["multipart/form-data"]["schema"]
    form["properties"]["images"]["maxItems"] = settings.max_images
    return document


def _renamed(node: Any, names: Mapping[str, str]) -> Any:
    """A copy, as routes share parts of it, with the names of the document."""
    if isinstance(node, list):
        return [_renamed(item, names) for item in node]
    if not isinstance(node, dict):
        return node
    copy = {key: _renamed(value, names) for key, value in node.items()}
    if "$ref" in copy:
        place, _, name = copy["$ref"].rpartition("/")
        copy["$ref"] = f"{place}/{names.get(name, name)}"
    if "schemas" in copy:
        named = {names.get(name, name): one for name, one in copy["schemas"].items()}
        copy["schemas"] = dict(sorted(named.items()))
    return copy


def _version_of(row: tuple[str, Any]) -> str:
    """For the order of paths: routes are tried in another, that by which they are found soon."""
    path, _ = row
    return path[:3] if path.startswith("/v") else ""


def _problem_example(name: str, members: dict[str, Any]) -> dict[str, Any]:
    detail, kind = members.pop("detail"), PROBLEMS[name]
    known = problem_body(
        kind,
        detail,
        instance="/v1/models/bundled/patchset/fog",
        request_id="5f0c6ad09c1d4d7b",
    )
    return {"summary": kind.title, "value": {**known, **members}}


def _list_problems(operation: dict[str, Any], path: str) -> None:
    """Every problem that can come of a request, each with an example."""
    responses = operation["responses"]
    passed = _GATE if path in HEALTH_PATHS else ()
    common = (name for name in COMMON_PROBLEMS if name not in passed)
    names = [*_own_problems(responses), *common]
    good = {status: response for status, response in responses.items() if int(status) < 400}
    bad = sorted(problem_responses(*names).items(), key=lambda row: int(row[0]))
    operation["responses"] = {**good, **{str(status): response for status, response in bad}}


def _own_problems(responses: dict[str, Any]) -> Iterator[str]:
    for response in responses.values():
        content = response.get("content", {})
        yield from content.get(MEDIA_TYPE, {}).get("examples", {})
        # FastAPI writes a 422 of its own wherever there is a parameter.
        if "HTTPValidationError" in str(content.get("application/json", {}).get("schema", "")):
            yield "invalid-request"


def _add_headers(operation: dict[str, Any]) -> None:
    changes = any(one["name"] == "Idempotency-Key" for one in operation.get("parameters", []))
    for code, response in operation["responses"].items():
        status = int(code)
        names = ["X-Request-ID"]
        if status in _OF_STATUS:
            names.append(_OF_STATUS[status])
        if changes and status < 300:
            names.append("Idempotency-Replayed")
        own = response.pop("headers", {})
        response["headers"] = own | {name: _reference(name)[name] for name in names}


def _tidy(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Say once what FastAPI says twice, and nothing of null where there is none."""
    for parameter in operation.get("parameters", []):
        if parameter["name"] == "If-Match" and "428" in operation["responses"]:
            parameter["required"] = True
        schema = parameter["schema"]
        for choice in schema.pop("anyOf", ()):
            schema.update(choice if choice != {"type": "null"} else {})
        for name in ("title", "description"):
            schema.pop(name, None)
        if parameter["in"] == "path":  # forms begin with it
            parameter["example"] = schema.pop("examples")[0]
    for response in operation["responses"].values():
        if response["description"] == "Successful Response":
            response["description"] = _said_of(response, schemas)


def _said_of(response: dict[str, Any], schemas: dict[str, Any]) -> str:
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    first = [schema, *schema.get("anyOf", ()), schema.get("items", {})]
    names = [one["$ref"].rpartition("/")[2] for one in first if "$ref" in one]
    return " Or: ".join(schemas[name]["description"] for name in names) or "Done."


def _security(need: Need) -> list[dict[str, list[str]]]:
    if need == "nobody":
        return []
    # Reading is open unless predict tokens are configured, so an empty choice stands beside it.
    return [{"token": []}] if need == "admin" else [{"token": []}, {}]
