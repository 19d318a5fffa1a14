"""The SDK has the same names, signatures and fields, whatever module they lie in."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

import rwsstore_client
from tests.guards.frozen_files import read

_SPECIAL = frozenset(
    {
        "__init__", "__call__", "__contains__", "__getitem__", "__iter__", "__len__",
        "__enter__", "__exit__", "__aenter__", "__aexit__",
    }
)  # fmt: skip


def surface() -> dict[str, Any]:
    """What `rwsstore_client` offers: by public name, a line or, of a class, its members."""
    offered = {name: _described(getattr(rwsstore_client, name)) for name in rwsstore_client.__all__}
    return {**offered, "attributes": {type(one).__name__: _attributes(one) for one in _samples()}}


def _samples() -> Iterator[object]:
    """Objects that have attributes which only their __init__ tells of."""
    for client in (rwsstore_client.Client, rwsstore_client.AsyncClient):
        made = client("http://127.0.0.1:1", "a-token")
        yield made
        yield made.model()
        yield made.model().patched("fog")
    yield rwsstore_client.ApiError("a detail")


def _attributes(one: object) -> dict[str, str]:
    return {
        name: type(value).__name__ for name, value in vars(one).items() if not name.startswith("_")
    }


def _described(public: Any) -> Any:
    if isinstance(public, type):
        return {"bases": _bases(public), **dict(sorted(_members(public)))}
    if inspect.isfunction(public):
        return _signature(public)
    return _plain(public)


def _bases(public: type) -> list[str]:
    """All classes above it, by which it may be caught; not the SDK's private ones."""
    return [
        one.__name__
        for one in public.__mro__[1:]
        if one is not object and (not _ours(one) or one.__name__ in rwsstore_client.__all__)
    ]


def _ours(one: type) -> bool:
    return one.__module__.partition(".")[0] == "rwsstore_client"


def _members(public: type) -> Iterator[tuple[str, str]]:
    if issubclass(public, BaseModel):
        for name, field in public.model_fields.items():
            need = "" if field.is_required() else f" = {_plain(field.get_default())}"
            yield f".{name}", _plain(field.annotation) + need
    for one in reversed(public.__mro__):
        if _ours(one):
            for name in vars(one):
                if name in _SPECIAL or not name.startswith("_"):
                    yield from _member(public, name)
            for name, kind in inspect.get_annotations(one).items():
                if not name.startswith("_") and not issubclass(public, BaseModel):
                    yield f".{name}", _plain(kind)


def _member(public: type, name: str) -> Iterator[tuple[str, str]]:
    found = inspect.getattr_static(public, name)
    if isinstance(found, property):
        assert found.fget is not None
        yield f".{name}", f"property {_signature(found.fget)}"
    elif isinstance(found, classmethod | staticmethod):
        yield f"{name}()", f"{type(found).__name__} {_signature(found.__func__)}"
    elif inspect.isfunction(found):
        kind = "async " if inspect.iscoroutinefunction(found) else ""
        yield f"{name}()", kind + _signature(found)


def _signature(function: Any) -> str:
    return _plain(str(inspect.signature(function)))


def _plain(value: Any) -> str:
    """As text without the modules of what it names."""
    text = value.__name__ if isinstance(value, type) and not _generic(value) else str(value)
    text = re.sub(r"<class '([^']+)'>", r"\1", text)
    text = re.sub(r"'(\w+)'$", r"\1", text)  # a class that is named before it is there
    return re.sub(r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])", "", text)


def _generic(value: Any) -> bool:
    return hasattr(value, "__origin__")


def test_the_sdk_offers_what_it_did() -> None:
    found, frozen = surface(), read("sdk")
    assert sorted(found) == sorted(frozen)
    for name, described in frozen.items():
        assert found[name] == described, name
