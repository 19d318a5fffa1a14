"""Where packages went: their old names can be imported for one version, and say where they are now.

One table; the import system asks it about nothing that exists.
"""

import importlib
import sys
import warnings
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PACKAGES = {
    "rwsstore.analysis": ("rwsstore.probes",),
    "rwsstore.analysis.bitflips": ("rwsstore.probes.bitflips",),
    "rwsstore.analysis.criticality": ("rwsstore.probes.criticality",),
    "rwsstore.analysis.filtering": ("rwsstore.probes.filtering",),
    "rwsstore.analysis.parameter_corruption": ("rwsstore.probes.parameter_corruption",),
    "rwsstore.deltas": ("rwsstore.making", "rwsstore.making.hazards"),
    "rwsstore.evaluation": (
        "rwsstore.measure",
        "rwsstore.measure.rival",
        "rwsstore.measure.report",
    ),
    "rwsstore.evaluation.adversarial": (
        "rwsstore.measure.adversarial",
        "rwsstore.measure.adversarial.report",
    ),
    "rwsstore.evaluation.tent": ("rwsstore.measure.rival",),
    "rwsstore.export": ("rwsstore.making", "rwsstore.making.export"),
    "rwsstore.signatures": (
        "rwsstore.making",
        "rwsstore.making.projection",
        "rwsstore.making.options",
    ),
}


def moved(old: str, *new: str) -> Callable[[str], Any]:
    """Make the `__getattr__` of a package that was left behind.

    Args:
        old: its name.
        new: the modules that have its names now, looked at in this order.

    Returns:
        A function that warns (DeprecationWarning) and returns what moved.
    """

    def found(name: str) -> Any:
        for package in () if name.startswith("__") else new:
            module = importlib.import_module(package)
            if hasattr(module, name):
                warnings.warn(
                    f"{old}.{name} is {package}.{name} now; rwsstore drops the old name in its "
                    "next version",
                    DeprecationWarning,
                    stacklevel=2,
                )
                return getattr(module, name)
        raise AttributeError(f"module {old!r} has no attribute {name!r}")

    return found


class _Finder(MetaPathFinder, Loader):
    """Makes an empty package of each old name."""

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        if fullname in PACKAGES:
            return ModuleSpec(fullname, self, is_package=True)
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.__getattr__ = moved(module.__name__, *PACKAGES[module.__name__])  # type: ignore[method-assign]


def keep_old_names() -> None:
    """Have the import system ask the table last, once."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
