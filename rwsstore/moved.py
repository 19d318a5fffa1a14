"""Names that moved: the old ones can be imported for one version, and say where they are now."""

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def moved(old: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the `__getattr__` of a module that is left behind.

    Args:
        old: its name.
        names: the module in which each of its names is now.

    Returns:
        A function that warns (DeprecationWarning) and returns what moved.
    """

    def found(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {old!r} has no attribute {name!r}")
        new = names[name]
        warnings.warn(
            f"{old}.{name} is {new}.{name} now; rwsstore drops the old name in its next version",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(importlib.import_module(new), name)

    return found
