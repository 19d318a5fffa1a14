"""The kinds of value that a patch's description is made of."""

__all__ = [
    "MAX_PATCHES",
    "NAME_PATTERN",
    "Alpha",
    "Finite",
    "Frozen",
    "Hex64",
    "Int64",
    "Name",
    "Percent",
    "TensorName",
    "Text",
    "first_fault",
    "short",
]

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

NAME_PATTERN = r"^[a-z][a-z0-9]*(?:[_.-][a-z0-9]+)*$"
"""Names of patches: lower-case words joined by single `_`, `.` or `-`, at most 64 characters."""

MAX_PATCHES = 1000
"""The most patches that one patch set, or one composed patch, holds."""

_NO_CONTROLS = r"[^\x00-\x1f\x7f-\x9f]"


def _positive_zero(value: float) -> float:
    """-0.0 becomes 0.0, so that one number has one writing."""
    return value + 0.0


Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=64)]
# What a description says may reach a terminal, so it holds no control characters.
Text = Annotated[str, Field(max_length=4096, pattern=rf"^{_NO_CONTROLS}*$")]
TensorName = Annotated[str, Field(max_length=512, pattern=rf"^{_NO_CONTROLS}+$")]
Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Finite = Annotated[float, Field(allow_inf_nan=False), AfterValidator(_positive_zero)]
Alpha = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False), AfterValidator(_positive_zero)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False), AfterValidator(_positive_zero)]


class Frozen(BaseModel):
    """A part of a description: immutable, without conversions and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def first_fault(error: ValidationError) -> str:
    """The first thing that is wrong, in one line of ASCII."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(step) for step in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return short(f"{where}: {message}" if where else message)


def short(text: str) -> str:
    """Text of unknown origin as a message shows it: ASCII, one line, never long."""
    shown = ascii(text)[1:-1]
    return shown if len(shown) <= 300 else f"{shown[:297]}..."
