"""Kinds of values in words, from their JSON schemas."""

__all__ = ["type_of"]

import json
from typing import Any

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
