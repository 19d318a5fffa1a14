"""The kinds of value that requests and answers are made of."""

__all__ = [
    "MODEL_NAME_PATTERN",
    "REFERENCE_PATTERN",
    "Alpha",
    "Answer",
    "GenerationNumber",
    "Name",
    "Reference",
    "Request",
    "TaLoss",
    "Text",
    "WhyFormat",
]

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict

from rwsstore.patches.metadata import NAME_PATTERN

MODEL_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
"""Names of models in URLs."""

WhyFormat = Literal["probe", "operator", "only_offered", "exact"]
"""How a compute format came to be in use."""

REFERENCE_PATTERN = r"^[a-z0-9][a-z0-9_.@-]{0,70}$"
"""What may be a name, `name@2`, or digits of a digest; the store then reads it."""


def _positive_zero(value: float) -> float:
    return value + 0.0


Reference = Annotated[
    str,
    Field(
        pattern=REFERENCE_PATTERN,
        max_length=71,
        description="A patch: its name, name@version, digest, or 8 or more of its first digits.",
        examples=["fog"],
    ),
]
# Strict: true is no number, and "nan" is no text that becomes one.
Alpha = Annotated[
    float,
    Strict(),
    Field(ge=0, le=1e6, allow_inf_nan=False, description="Strength; 1 is a patch as it was made."),
    AfterValidator(_positive_zero),
]
TaLoss = Annotated[
    float,
    Strict(),
    Field(
        ge=0,
        le=100,
        allow_inf_nan=False,
        description="Instead of alpha: the points of accuracy on clean images that the patch may "
        "cost; alpha is then taken from its card.",
    ),
]
GenerationNumber = Annotated[int, Strict(), Field(ge=0, lt=2**63)]
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=64)]
Text = Annotated[str, Field(max_length=200)]


class Request(BaseModel):
    """What a caller sends: without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Answer(BaseModel):
    """What the service answers with."""

    model_config = ConfigDict(frozen=True, extra="forbid")
