"""The pages in docs/ that are made: the API's of its document, the settings' of their class."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from rwsstore_service.api.description.openapi import COMMON_PROBLEMS, operations
from rwsstore_service.settings import Settings
from rwsstore_service.wire.problems import MEDIA_TYPE, PROBLEMS

_NAMES = {"string": "text", "boolean": "true or false", "null": "null", "object": "object"}


def type_of(schema: dict[str, Any]) -> str:
    """Say what a value is: its type, its bounds, a link to its shape."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(map(type_of, schema["anyOf"]))
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    return _OF_TYPE.get(schema.get("type", ""), _named)(schema)


def _named(schema: dict[str, Any]) -> str:
    return _NAMES.get(schema.get("type", ""), "anything")


def _text(schema: dict[str, Any]) -> str:
    if schema.get("format") == "binary":
        return "bytes"
    if schema.get("format") == "date-time":
        return "time (RFC 3339)"
    if "maxLength" in schema:
        return f"text of at most {schema['maxLength']:,} characters"
    return "text"


def _number(schema: dict[str, Any]) -> str:
    kind = "whole number" if schema["type"] == "integer" else "number"
    low, high = schema.get("minimum"), schema.get("maximum")
    below = schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f"{kind}, {low:,.16g} to {high:,.16g}"
    bounds = [
        f"{low:,.16g} or more" if low is not None else "",
        f"below 2^{int(below).bit_length() - 1}" if below else "",
    ]
    return ", ".join([kind, *filter(None, bounds)])


def _list(schema: dict[str, Any]) -> str:
    low, high = schema.get("minItems"), schema.get("maxItems")
    bounds = {
        (False, True): f", at most {high}",
        (True, False): f", at least {low}",
        (True, True): f", {low} to {high}" if low != high else f" of {low}",
    }
    of = type_of(schema.get("items", {}))
    return f"list of {of}" + bounds.get((low is not None, high is not None), "")


def _object(schema: dict[str, Any]) -> str:
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {type_of(schema['additionalProperties'])}"
    needed = schema.get("required", ())
    members = [
        f"`{name}`{'' if name in needed else ' (may be absent)'}: {type_of(one)}"
        for name, one in schema.get("properties", {}).items()
    ]
    return f"{{{'; '.join(members)}}}" if members else "object"


_OF_TYPE = {
    "string": _text,
    "integer": _number,
    "number": _number,
    "array": _list,
    "object": _object,
}


# What the document cannot tell: which files, which query, which patch.
_OWN = {
    "predict": ("?top_k=2", ["-H 'Content-Type: image/jpeg'", "--data-binary @road.jpg"]),
    "read_patchset": ("", ["-i"]),
    "list_patches": ("?corruption=fog&limit=10", []),
    "upload_patch": (
        "?name=my_fog",
        ["-H 'Content-Type: application/octet-stream'", "--data-binary @my_fog.safetensors"],
    ),
    "download_patch": ("", ["-o fog.safetensors"]),
    "read_history": ("?limit=10", []),
    "read_audit": ("?limit=10", []),
    "replace_patchset": ("", ["-H 'If-Match: \"7\"'"]),
    "compose_patches": ("", ["-H 'Idempotency-Key: foggy-night-1'"]),
    "delete_patch": ("", []),
}
_PATCHES = {"delete_patch": "foggy_night"}
_OPEN = "/v1/", "/livez", "/readyz"


def curl(path: str, verb: str, operation: dict[str, Any]) -> str:
    """Write the command; "" for the Open Inference Protocol, which has a page of its own."""
    if not path.startswith(_OPEN):
        return ""
    name = operation["operationId"]
    query, options = _OWN.get(name, ("", []))
    place = path.replace("{model}", "bundled").replace("{patch}", _PATCHES.get(name, "fog"))
    method = [] if verb == "get" or (verb == "post" and options) else [f"-X {verb.upper()}"]
    words = [f'curl "$RWS_URL{place}{query}"', *method, *_token(operation), *options]
    return " \\\n  ".join([*words, *_json(operation)])


def _token(operation: dict[str, Any]) -> list[str]:
    if {} in operation["security"] or not operation["security"]:
        return []
    return ['-H "Authorization: Bearer $RWS_TOKEN"']


def _json(operation: dict[str, Any]) -> list[str]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    examples = list(content.get("examples", {}).values())
    if not examples:
        return []
    body = json.dumps(examples[0]["value"])
    return ["-H 'Content-Type: application/json'", f"-d '{body}'"]


_API_INTRO = """\
# HTTP API

Made by `make docs` from the service's own description, [openapi.json](../openapi.json); the service
shows it at `/docs`, with a form for each request. How to use it: [service.md](service.md); who may
do what: [security.md](security.md); from Python: the SDK, `rwsstore-client`.

In the examples `RWS_URL` is the service's address (`http://127.0.0.1:8000`) and `RWS_TOKEN` a
token.
"""

_PROBLEMS = """\
## Errors

Every error is `application/problem+json` of one shape, [Problem](#problem):
"""

_EVERYWHERE = """\
Any request may meet these before it comes to its route (health checks: not 421 and 429), so that
they are not listed again above:
"""


def reference(document: dict[str, Any]) -> str:
    """Write the page: a section for each tag, its operations in it, then errors and shapes."""
    return (
        "\n".join(
            [
                _API_INTRO,
                document["info"]["description"],
                *_tags(document),
                *_problems(document),
                *_shapes(document["components"]["schemas"]),
            ]
        ).rstrip("\n")
        + "\n"
    )


def _tags(document: dict[str, Any]) -> Iterator[str]:
    shown: set[str] = set()
    for tag in document["tags"]:
        yield f"## {tag['name']}\n\n{tag['description']}\n"
        for path, verb, operation in operations(document):
            if tag["name"] in operation["tags"]:
                yield from _operation(path, verb, operation, shown)


def _operation(path: str, verb: str, operation: dict[str, Any], shown: set[str]) -> Iterator[str]:
    yield f"### {operation['summary']}\n\n`{verb.upper()} {path}`\n"
    yield f"{operation['description']}{_needs(operation)}\n"
    if "parameters" in operation:
        yield _table(
            ("parameter", "in", "type", "meaning"),
            (_parameter(one) for one in operation["parameters"]),
        )
    if "requestBody" in operation:
        yield _body(operation["requestBody"])
    yield from _answers(operation)
    yield _errors(operation)
    command = curl(path, verb, operation)
    if command:
        yield f"```bash\n{command}\n```\n"
        yield from _example(operation, shown)


def _needs(operation: dict[str, Any]) -> str:
    if {} in operation["security"] or not operation["security"]:
        return ""
    return "\n\nNeeds an admin token."


def _parameter(one: dict[str, Any]) -> tuple[str, ...]:
    schema = one["schema"]
    kind = type_of(schema)
    if "default" in schema:
        kind += f"; default {json.dumps(schema['default'])}"
    required = ", needed" if one["required"] and one["in"] != "path" else ""
    return f"`{one['name']}`", one["in"] + required, kind, one["description"]


def _body(body: dict[str, Any]) -> str:
    kinds = [
        f"- `{media}`: {type_of(content.get('schema', {}))}"
        for media, content in body["content"].items()
    ]
    needed = "" if body.get("required") else " (may be left out)"
    said = f": {body['description']}" if "description" in body else ""
    return f"Body{needed}{said}\n\n" + "\n".join(kinds) + "\n"


def _answers(operation: dict[str, Any]) -> Iterator[str]:
    for status, response in operation["responses"].items():
        if int(status) < 300:
            kinds = [
                f"`{media}`: {type_of(content['schema'])}"
                for media, content in response.get("content", {}).items()
            ]
            headers = [name for name in response["headers"] if name != "X-Request-ID"]
            said = f"; headers {', '.join(headers)}" if headers else ""
            yield f"Answer **{status}**: {'; '.join(kinds) or 'without a body'}{said}.\n"


def _errors(operation: dict[str, Any]) -> str:
    rows = [
        f"{status} {name}"
        for status, response in operation["responses"].items()
        for name in response.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {})
        if name not in COMMON_PROBLEMS
    ]
    return f"Errors: {', '.join(f'`{row}`' for row in rows)}.\n" if rows else ""


def _example(operation: dict[str, Any], shown: set[str]) -> Iterator[str]:
    """Show what an answer looks like, the first time that it comes."""
    for response in operation["responses"].values():
        content = response.get("content", {}).get("application/json", {})
        example = json.dumps(content.get("example"), indent=2)
        if "example" in content and example not in shown:
            shown.add(example)
            yield f"```json\n{example}\n```\n"


def _problems(document: dict[str, Any]) -> Iterator[str]:
    example = document["components"]["examples"]["stale-generation"]["value"]
    yield _PROBLEMS
    yield f"```json\n{json.dumps(example, indent=2)}\n```\n"
    yield _table(
        ("status", "type: `urn:rwsstore:problem:`…", "title", "for example"),
        ((str(one.status), f"`{one.name}`", one.title, one.example) for one in PROBLEMS.values()),
    )
    yield _EVERYWHERE
    yield ", ".join(f"`{PROBLEMS[name].status} {name}`" for name in COMMON_PROBLEMS) + ".\n"


def _shapes(schemas: dict[str, Any]) -> Iterator[str]:
    yield "## Shapes\n"
    for name, schema in sorted(schemas.items()):
        yield f"### {name}\n\n{schema.get('description', '')}\n"
        needed = schema.get("required", ())
        yield _table(
            ("member", "type", "meaning"),
            (
                (
                    f"`{member}`" + ("" if member in needed else ", may be absent"),
                    type_of(one),
                    _meaning(one),
                )
                for member, one in schema.get("properties", {}).items()
            ),
        )


def _meaning(schema: dict[str, Any]) -> str:
    """What is said of a value, or of one of the kinds that it may have."""
    choices = (schema, *schema.get("anyOf", ()))
    return next((one["description"] for one in choices if "description" in one), "")


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    ruler = tuple("---" for _ in head)
    return "\n".join([line(head), line(ruler), *map(line, rows)]) + "\n"


GROUPS = {
    "Address and files": ("host", "port", "model", "model_name", "store", "state"),
    "Who may": (
        *("admin_tokens", "admin_tokens_file", "predict_tokens", "predict_tokens_file"),
        *("open_metrics", "docs", "cors_origins", "allowed_hosts", "allow_transfer"),
    ),
    "Computing": (
        *("threads", "lanes", "decode_threads", "batching", "max_batch", "batch_wait_ms"),
        *("queue_size", "compute", "resident_bytes"),
    ),
    "Limits": (
        *("max_images", "max_pixels", "max_image_bytes", "max_body_bytes", "max_patch_bytes"),
        *("max_header_bytes", "max_request_patches", "max_requests", "max_connections"),
        *("rate_limit", "rate_burst"),
    ),
    "Deadlines": (
        *("header_timeout", "body_timeout", "queue_timeout", "idle_timeout", "write_timeout"),
        "shutdown_timeout",
    ),
    "Logs and traces": ("log_format", "log_level", "tracing_endpoint"),
}
"""Every setting, in the order of the page."""

_SETTINGS_INTRO = """\
# Settings

Made by `make docs` from the class that reads them, `rwsstore_service.Settings`. Each is an
environment variable; an empty one counts as not set. `rws serve` has options for those that are
changed most (`rws serve --help`), and an option comes before its variable. A value that is not
allowed stops the start, with the variable's name.
"""


def settings_page() -> str:
    """Write the page: a table for each group."""
    return "\n".join([_SETTINGS_INTRO, *(_group(title, names) for title, names in GROUPS.items())])


def _group(title: str, names: tuple[str, ...]) -> str:
    rows = [_row(name, Settings.model_fields[name]) for name in names]
    return "\n".join(
        [f"## {title}\n", "| variable | default | meaning |", "| --- | --- | --- |", *rows, ""]
    )


def _row(name: str, field: FieldInfo) -> str:
    return f"| `RWS_{name.upper()}` | {_default(field)} | {field.description} |"


def _default(field: FieldInfo) -> str:
    value = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value is PydanticUndefined or value in ("", ()):
        return ""
    return f"`{value if isinstance(value, str | Path) else json.dumps(value)}`"
