"""Bodies of requests, with their bounds; what is answered is `rwsstore_client.contract`."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, Strict, model_validator

from rwsstore.config import Frozen
from rwsstore.patches import MAX_PATCHES
from rwsstore.patches.metadata import NAME_PATTERN

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


class Request(Frozen):
    """What a caller sends: without unknown keys."""


class StrengthRequest(Request):
    """How strong a patch is to be; neither value is its recommended strength."""

    alpha: Alpha | None = None
    ta_loss: TaLoss | None = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if self.alpha is not None and self.ta_loss is not None:
            raise ValueError("give alpha or ta_loss, not both")
        return self


class PatchChoice(StrengthRequest):
    """One patch of a set, and how strong."""

    patch: Reference


_Choices = Annotated[
    tuple[PatchChoice, ...],
    Field(max_length=MAX_PATCHES, description="Each patch once, in any order."),
]


class PatchSetRequest(Request):
    """The wanted patch set; an empty one is the clean model."""

    patches: _Choices


class CompositionRequest(Request):
    """Patches to be stored as one, under a name."""

    name: Name
    parts: Annotated[_Choices, Field(min_length=1)]
    expected_version: (
        Annotated[
            int,
            Strict(),
            Field(ge=0, lt=2**31, description="The name's latest version as the caller saw it."),
        ]
        | None
    ) = None


class RollbackRequest(Request):
    """The generation to go back to."""

    generation: GenerationNumber
