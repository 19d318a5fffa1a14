"""The API's description, and the command that exports it.

`python -m rwsstore_service.openapi` writes the OpenAPI document to standard output.
"""

__all__ = ["DESCRIPTION", "TAGS", "describe_with", "main"]

import json
import sys
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from rwsstore_service.problems import MEDIA_TYPE, PROBLEMS, Problem
from rwsstore_service.security.gate import needed_role
from rwsstore_service.settings import Settings

DESCRIPTION = """\
One clean image classifier and a store of tiny robustness patches, put on and taken off the live
model while it predicts.

A patch is named by its name (the newest version that fits the model), by name@version, by its
digest, or by 8 or more of the digest's first digits. A patch set is one string where a scalar is
wanted (`fog=0.6,gaussian_blur=0.4`, `active`, `none`), a list of `{patch, alpha}` in JSON bodies.

Every error is a problem (RFC 9457, `application/problem+json`). Changes need an admin token;
reading and predicting need a token only where predict tokens are configured.
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


def describe_with(app: FastAPI, settings: Settings) -> None:
    """Let an app describe itself: problems instead of FastAPI's own errors, and who may do what."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                tags=app.openapi_tags,
                routes=app.routes,
            )
            app.openapi_schema = _finish(document, settings)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def _finish(document: dict[str, Any], settings: Settings) -> dict[str, Any]:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = Problem.model_json_schema()
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path, verb, operation in _operations(document):
        _use_problems(operation)
        operation["security"] = _security(verb, path, settings)
    return document


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for verb, operation in methods.items():
            if verb in _VERBS:
                yield path, verb, operation


def _use_problems(operation: dict[str, Any]) -> None:
    """FastAPI writes a 422 of its own wherever there is a parameter."""
    for response in operation["responses"].values():
        for content in response.get("content", {}).values():
            if "HTTPValidationError" in str(content.get("schema", "")):
                kind = PROBLEMS["invalid-request"]
                response["description"] = kind.title
                response["content"] = {
                    MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}
                }
                break


def _security(verb: str, path: str, settings: Settings) -> list[dict[str, list[str]]]:
    need = needed_role(verb.upper(), path, open_metrics=settings.open_metrics)
    if need == "nobody":
        return []
    # Reading is open unless predict tokens are configured, so an empty choice stands beside it.
    return [{"token": []}] if need == "admin" else [{"token": []}, {}]


def main() -> None:
    """Write the document."""
    from rwsstore_service.app import create_app

    document = create_app(Settings.model_construct()).openapi()
    json.dump(document, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
