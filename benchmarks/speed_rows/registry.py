"""Every row by name, and those that somebody asks for."""

__all__ = ["ROWS", "choose"]

from collections.abc import Mapping
from types import MappingProxyType

from rwsstore.errors import UnknownNameError
from speed_rows import growth, memory, mixing, rest, switching
from speed_rows.row import Row

ROWS: Mapping[str, Row] = MappingProxyType(
    {row.name: row for part in (switching, mixing, rest, memory, growth) for row in part.ROWS}
)
"""In the order in which they are measured and shown."""


def choose(names: str | None) -> tuple[Row, ...]:
    """Find rows by names with commas between; all of them for None.

    Raises:
        UnknownNameError: there is no such row.
    """
    if names is None:
        return tuple(ROWS.values())
    wanted = list(dict.fromkeys(name.strip() for name in names.split(",")))
    for name in wanted:
        if name not in ROWS:
            raise UnknownNameError("row", name, ROWS)
    return tuple(ROWS[name] for name in wanted)
