"""A checkpoint's card: what was measured of it when it was packaged, in a file beside it."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from rwsstore import __version__
from rwsstore.canonical import Digest, canonical_json
from rwsstore.config import Frozen, first_fault
from rwsstore.errors import FormatError, MismatchError
from rwsstore.files import read_bounded, write_atomic

LEAST_AGREEMENT = 99.5
"""Top-1 agreement with float32, in percent, from which on a compute format is offered."""

FEWEST_IMAGES = 200
"""On fewer images, one of them is more than the half percent that a format may disagree on."""

_REFERENCE = "float32"
_LARGEST_FILE = 2**20

_Percent = Annotated[float, Field(ge=0, le=100)]
_Name = Annotated[str, Field(min_length=1, max_length=100)]
_Fingerprint = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class FormatAgreement(Frozen, strict=True, allow_inf_nan=False):
    """How far a model that is computed in a format says what it says in float32.

    Attributes:
        name: of the compute format.
        images: measured on.
        top1_agreement: images whose likeliest class is the same, clean model, in percent.
        patch_sets: how many were measured besides the clean model.
        lowest_agreement: the lowest of these and of the clean model, in percent.
        lowest_with: the patch set that has it; empty for the clean model.
        largest_difference: of any logit, over all of them; None where the format gives NaN or
            infinity.
    """

    name: _Name
    images: int = Field(ge=1)
    top1_agreement: _Percent
    patch_sets: int = Field(default=0, ge=0)
    lowest_agreement: _Percent
    lowest_with: str = Field(default="", max_length=10_000)
    largest_difference: float | None = Field(ge=0)

    @model_validator(mode="after")
    def _check_lowest(self) -> Self:
        if self.lowest_agreement > self.top1_agreement:
            raise ValueError("lowest_agreement is above top1_agreement")
        if not self.patch_sets and self.lowest_agreement != self.top1_agreement:
            raise ValueError("lowest_agreement differs from top1_agreement without a patch set")
        return self

    @property
    def offered(self) -> bool:
        """Whether clean model and every patch set agree with float32, on images enough to tell."""
        if self.name == _REFERENCE:
            return True
        return self.images >= FEWEST_IMAGES and self.lowest_agreement >= LEAST_AGREEMENT


class ModelCard(Frozen, strict=True, allow_inf_nan=False):
    """What was measured of a clean model.

    Attributes:
        version: of the card's format; 1.
        weights: fingerprint of the clean model, its BatchNorm folded.
        dataset: what the images were called.
        formats: agreement of each compute format.
        tool: what made it.
    """

    version: Literal[1] = 1
    weights: _Fingerprint
    dataset: _Name
    formats: Annotated[tuple[FormatAgreement, ...], Field(max_length=100)]
    tool: str = Field(default=f"rwsstore {__version__}", max_length=100)

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [one.name for one in self.formats]
        if len(set(names)) != len(names):
            raise ValueError("the same compute format twice")
        return self

    def to_json(self) -> str:
        """Write the card as canonical JSON, with a newline at its end."""
        return canonical_json(self.model_dump(mode="json")) + "\n"


def model_card_path(checkpoint: Path) -> Path:
    """Where a checkpoint's card lies: beside `clean.safetensors` it is `clean.card.json`."""
    return checkpoint.with_suffix(".card.json")


def write_model_card(checkpoint: Path, card: ModelCard) -> Path:
    """Write a card beside its checkpoint, replaced in one step if there is one.

    Returns:
        Where it is.

    Raises:
        StoreError: the file could not be written.
    """
    path = model_card_path(checkpoint)
    write_atomic(path, card.to_json().encode())
    return path


def read_model_card(checkpoint: Path, *, weights: Digest) -> ModelCard:
    """Read the card beside a checkpoint.

    Args:
        checkpoint: the file of the model; it is not read.
        weights: fingerprint of that model, its BatchNorm folded.

    Raises:
        MissingFileError: there is no card.
        FormatError: it is damaged, over 1 MiB, or a newer rwsstore wrote it.
        MismatchError: it is of other weights.
    """
    path = model_card_path(checkpoint)
    data = read_bounded(path, limit=_LARGEST_FILE, what="model card")
    try:
        card = ModelCard.model_validate_json(data)
    except ValidationError as error:
        raise FormatError(f"{path} is no model card: {first_fault(error)}") from None
    if card.weights != weights:
        raise MismatchError(
            f"{path} is of the weights {card.weights[:12]}, {checkpoint.name} has {weights[:12]}: "
            f"measure them (rws card {checkpoint} --dataset ...), or delete the card"
        )
    return card
