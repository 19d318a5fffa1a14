"""Bodies of requests."""

__all__ = [
    "CompositionRequest",
    "PatchChoice",
    "PatchSetRequest",
    "RollbackRequest",
    "StrengthRequest",
]

from typing import Annotated, Self

from pydantic import ConfigDict, Field, Strict, model_validator

from rwsstore.patches import MAX_PATCHES
from rwsstore_service.schemas.fields import (
    Alpha,
    GenerationNumber,
    Name,
    Reference,
    Request,
    TaLoss,
)


class StrengthRequest(Request):
    """How strong a patch is to be; neither value is its recommended strength."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"alpha": 0.8}, {"ta_loss": 1.0}]})

    alpha: Alpha | None = None
    ta_loss: TaLoss | None = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if self.alpha is not None and self.ta_loss is not None:
            raise ValueError("give alpha or ta_loss, not both")
        return self


class PatchChoice(StrengthRequest):
    """One patch of a set, and how strong."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"patch": "fog", "alpha": 0.8}]})

    patch: Reference


_Choices = Annotated[
    tuple[PatchChoice, ...],
    Field(max_length=MAX_PATCHES, description="Each patch once, in any order."),
]


class PatchSetRequest(Request):
    """The wanted patch set; an empty one is the clean model."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"patches": [{"patch": "fog", "alpha": 0.6}, {"patch": "gaussian_noise"}]},
            ]
        }
    )

    patches: _Choices


class CompositionRequest(Request):
    """Patches to be stored as one, under a name."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "foggy_night",
                    "parts": [
                        {"patch": "fog", "alpha": 0.6},
                        {"patch": "gaussian_noise", "alpha": 0.4},
                    ],
                }
            ]
        }
    )

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

    model_config = ConfigDict(json_schema_extra={"examples": [{"generation": 3}]})

    generation: GenerationNumber
