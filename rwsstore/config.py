"""Configuration files: TOML that becomes a validated model, or is refused in one sentence."""

__all__ = ["read_toml", "validated"]

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from rwsstore.errors import ConfigError, FormatError
from rwsstore.files.atomic import read_bounded

_LARGEST_FILE = 2**20

_Model = TypeVar("_Model", bound=BaseModel)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file of at most 1 MiB.

    Raises:
        MissingFileError: there is none.
        FormatError: it is larger, or not TOML.
    """
    data = read_bounded(path, limit=_LARGEST_FILE, what="configuration")
    try:
        return tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FormatError(f"{path} is not TOML: {error}") from None


def validated(model: type[_Model], fields: Mapping[str, Any], *, what: str) -> _Model:
    """Make a model of fields that somebody wrote.

    Args:
        model: a pydantic model that refuses unknown keys.
        fields: its values.
        what: they are, for messages.

    Raises:
        ConfigError: an unknown key, a value out of its range, or values that contradict each
            other; the first is named.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{what}: {where + ': ' if where else ''}{message}") from None
