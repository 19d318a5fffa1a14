"""The HTTP API is described in the same words; titles of schemas, which name classes, apart."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from rwsstore_service import Settings, create_app
from tests.guards.frozen_files import read

_VERBATIM = frozenset({"example", "examples", "default", "const", "enum"})


def surface() -> dict[str, str]:
    """SHA-256 of each operation, component and other part, so that a diff says which."""
    document = create_app(Settings.model_construct()).openapi()
    return {name: _hash(part) for name, part in _named_parts(document)}


def _named_parts(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, part in document.items():
        if name == "paths":
            for path, operations in part.items():
                for verb, operation in operations.items():
                    yield f"{verb.upper()} {path}", without_titles(operation)
        elif name == "components":
            for kind, components in part.items():
                for key, component in components.items():
                    yield f"{kind}/{key}", without_titles(component)
        else:
            yield name, part


def without_titles(node: Any) -> Any:
    """Leave out the titles of schemas; a property or an example may be called so."""
    if isinstance(node, list):
        return [without_titles(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: value if key in _VERBATIM else without_titles(value)
        for key, value in node.items()
        if not (key == "title" and isinstance(value, str))
    }


def _hash(part: Any) -> str:
    text = json.dumps(part, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_document_says_what_it_said() -> None:
    assert surface() == read("openapi")


def test_only_titles_of_schemas_are_left_out() -> None:
    schema = {
        "title": "Cut",
        "properties": {"title": {"title": "Cut", "type": "string"}},
        "example": {"title": "kept"},
    }
    assert without_titles(schema) == {
        "properties": {"title": {"type": "string"}},
        "example": {"title": "kept"},
    }
