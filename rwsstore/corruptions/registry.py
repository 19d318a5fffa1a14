"""The corruptions by name, those of plugins too, and how to name several of them."""

from collections.abc import Mapping
from types import MappingProxyType

from rwsstore.corruptions import blur, digital, noise, weather  # noqa: F401  (they hold the rows)
from rwsstore.corruptions.rows import (
    NAMES_BY_GROUP,
    ROWS,
    Corruption,
    corruption as corruption,  # from here, so that the benchmark's own rows are there first
)
from rwsstore.errors import ConfigError, UnknownNameError

CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType(ROWS)
"""Corruptions by name, group by group."""

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(NAMES_BY_GROUP)
"""Names of the corruptions in each group."""


def find_corruption(name: str) -> Corruption:
    """Find a corruption by name.

    Raises:
        UnknownNameError: there is no such corruption.
    """
    if name not in CORRUPTIONS:
        raise UnknownNameError("corruption", name, CORRUPTIONS)
    return CORRUPTIONS[name]


def parse_corruptions(text: str) -> tuple[str, ...]:
    """Read names from a comma-separated list of corruptions, groups and `all`.

    Returns:
        Names in the order given, each once; a group's or all in the registry's order.

    Raises:
        UnknownNameError: an entry is none of these.
        ConfigError: the list is empty.
    """
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    if not entries:
        raise ConfigError("no corruption is named; expected 'all', a group or names such as 'fog'")
    sets = {"all": tuple(CORRUPTIONS), **GROUPS, **{name: (name,) for name in CORRUPTIONS}}
    for entry in entries:
        if entry not in sets:
            raise UnknownNameError("corruption", entry, sets)
    return tuple(dict.fromkeys(name for entry in entries for name in sets[entry]))
