"""What all answers have in common."""

__all__ = ["Result"]

from pydantic import BaseModel, ConfigDict


class Result(BaseModel):
    """Base of all answers: immutable, and open for members of newer services."""

    model_config = ConfigDict(frozen=True, extra="ignore")
