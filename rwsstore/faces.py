"""Package faces that load what they offer when it is asked for.

A command that lists a store, and every `--help`, would otherwise wait seconds for torch. A face
imports its names for the type checker alone, each `as` itself, and calls `lazy`:

    if typing.TYPE_CHECKING:
        from rwsstore.store.store import Store as Store
    else:
        faces.lazy(__name__)

What it offers so is its `__all__`.
"""

import ast
import importlib
import inspect
import sys
from functools import cached_property
from types import ModuleType
from typing import Any


def lazy(package: str) -> None:
    """Have a package import each name of its face at the first use."""
    sys.modules[package].__class__ = _Face


def later(module: str) -> ModuleType:
    """Stand in for a module, which is imported when something of it is used.

    For modules of recipes, which a --help reads and which compute with torch:

        if typing.TYPE_CHECKING:
            import torch
        else:
            torch = faces.later("torch")
    """
    return _Later(module)


class _Later(ModuleType):
    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


class _Face(ModuleType):
    @cached_property
    def _homes(self) -> dict[str, str]:
        """Which module each name comes from, read from the imports in the face's source."""
        return {
            alias.asname: node.module
            for node in ast.walk(ast.parse(inspect.getsource(self)))
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
            if alias.asname
        }

    @property
    def __all__(self) -> list[str]:
        return sorted(self._homes)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in self._homes:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(self._homes[name]), name)
        setattr(self, name, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        """Keep a name for what the face offers where a module of the package has it too."""
        if not (isinstance(value, ModuleType) and name in self._homes):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._homes})
