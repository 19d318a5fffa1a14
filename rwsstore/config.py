"""Values that somebody wrote: a frozen, validated model of them, or the first fault in one line."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from rwsstore.errors import ConfigError

_Model = TypeVar("_Model", bound=BaseModel)


class Frozen(BaseModel):
    """Values that do not change, none of an unknown name among them.

    Subclasses say as a keyword what else holds: `allow_inf_nan=False` where every number is
    finite, `strict=True` where nothing is converted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


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
        raise ConfigError(f"{what}: {first_fault(error)}") from None


def _dotted(steps: Sequence[str | int]) -> str:
    return ".".join(map(str, steps))


def first_fault(
    error: ValidationError, *, name: Callable[[Sequence[str | int]], str] = _dotted
) -> str:
    """Say where a model's values are wrong first, and how, in one line of ASCII.

    Args:
        error: pydantic's.
        name: what the place is called to which these steps lead; none for the whole model.
    """
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = name(first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return short(f"{where}: {message}" if where else message)


def short(text: str) -> str:
    """Text of unknown origin as a message shows it: ASCII, one line, never long."""
    shown = text.encode("unicode_escape").decode("ascii")
    return shown if len(shown) <= 300 else f"{shown[:297]}..."
