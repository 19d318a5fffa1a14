"""What a training run found."""

__all__ = ["EpochRecord", "TrainingResult"]

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from torch import nn


class EpochRecord(BaseModel):
    """One epoch.

    Attributes:
        epoch: counted from 1.
        loss: mean over the epoch's steps.
        accuracy: what the recipe judges the validation images by, in percent: accuracy on them as
            it shows them, or under attack.
        terms: what the loss is made of, where the recipe says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epoch: Annotated[int, Field(ge=1)]
    loss: float
    accuracy: float
    terms: dict[str, float] = Field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """A finished run.

    Attributes:
        model: the network of the best epoch, in evaluation mode.
        best: that epoch, chosen on the validation images; the earliest among equals.
        history: all epochs.
    """

    model: nn.Module
    best: EpochRecord
    history: tuple[EpochRecord, ...]
