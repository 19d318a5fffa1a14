"""Corruptions, recipes, networks, patch kinds and probes from outside the package.

A plugin is a Python module; importing it adds its rows, as docs/use/extending.md shows. Which
modules there are say the entry points of the group `rwsstore.plugins` of what is installed, and the
environment variable `RWS_PLUGINS`, names of modules separated by commas. Commands of `rws` load
them; a program that uses rwsstore as a library imports the module itself, or calls `load`.
"""

import importlib
import os
from functools import lru_cache
from importlib.metadata import entry_points

from rwsstore.errors import ConfigError

GROUP = "rwsstore.plugins"
"""The group of entry points whose values are plugins."""

VARIABLE = "RWS_PLUGINS"
"""The environment variable that names more of them."""


def load() -> None:
    """Import the plugins, each once; again only where the variable has changed, or one failed.

    Raises:
        ConfigError: one cannot be imported.
    """
    _load(os.environ.get(VARIABLE, ""))


@lru_cache(maxsize=1)
def _load(named: str) -> None:
    for point in entry_points(group=GROUP):
        distribution = point.dist.name if point.dist else "an installed package"
        _import(point.module, f"entry point {point.name} of {distribution}", "or uninstall it")
    for module in filter(None, map(str.strip, named.split(","))):
        remedy = f"have its folder on PYTHONPATH, or take it out of {VARIABLE}"
        _import(module, VARIABLE, remedy)


def _import(module: str, source: str, remedy: str) -> None:
    try:
        importlib.import_module(module)
    except Exception as error:  # whatever somebody else's module raises
        raise ConfigError(
            f"plugin {module} ({source}) cannot be imported: {type(error).__name__}: {error}. "
            f"Mend it, {remedy}"
        ) from error
