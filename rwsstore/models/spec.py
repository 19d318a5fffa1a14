"""What a network is, stored with its weights; and what was measured of it, in a card beside."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, StrictFloat, StrictStr, ValidationError, model_validator

from rwsstore import __version__
from rwsstore.canonical import DIGEST_PATTERN, Digest, canonical_json
from rwsstore.config import Frozen, first_fault
from rwsstore.errors import ConfigError, FormatError, MismatchError
from rwsstore.files import read_bounded, write_atomic

_Channel = Annotated[StrictFloat, Field(ge=-1000, le=1000)]
_Deviation = Annotated[StrictFloat, Field(gt=0, le=1000)]
_ClassNames = Annotated[tuple[StrictStr, ...], Field(max_length=100_000, strict=False)]
_Means = Annotated[tuple[_Channel, _Channel, _Channel], Field(strict=False)]
_Deviations = Annotated[tuple[_Deviation, _Deviation, _Deviation], Field(strict=False)]


class ModelSpec(Frozen, strict=True):
    """Everything that decides a classifier's tensors but their values.

    Attributes:
        network: a name in the registry (`vgg16`), or `torchvision:NAME`.
        num_classes: number of logits, 2 to 100,000.
        classes: their names, in order; may be empty where they have none.
        width: factor on the number of channels, above 0 and at most 16. Channels are rounded to
            multiples of 8, at least 8.
        batch_norm: whether the network is built with BatchNorm.
        folded: whether every BatchNorm that can be is folded into the layer before it.
        input_size: height and width in pixels of the images that the network expects.
        mean: of the training images in [0, 1], red, green, blue.
        std: their standard deviation, red, green, blue, above 0.

    Raises:
        ConfigError: a value out of its range, or values that contradict each other.
    """

    version: Literal[1] = 1
    network: str = Field(min_length=1, max_length=100)
    num_classes: int = Field(ge=2, le=100_000)
    classes: _ClassNames = ()
    width: float = Field(default=1.0, gt=0, le=16)
    batch_norm: bool = True
    folded: bool = False
    input_size: int = Field(default=32, ge=1, le=4096)
    mean: _Means = (0.5, 0.5, 0.5)
    std: _Deviations = (0.25, 0.25, 0.25)

    if not TYPE_CHECKING:  # the type checker keeps pydantic's own signature

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise ConfigError(f"model specification: {first_fault(error)}") from None

    @model_validator(mode="after")
    def _name_every_class(self) -> Self:
        if self.classes and len(self.classes) != self.num_classes:
            raise ValueError(f"{len(self.classes)} class names for {self.num_classes} classes")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("the same class name twice")
        return self

    def to_json(self) -> str:
        """Write the specification as canonical JSON."""
        return canonical_json(self.model_dump(mode="json"))

    @classmethod
    def from_json(cls, text: str, *, what: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            FormatError: no such specification; `what` it came from is named.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise FormatError(
                f"{what} does not describe a model of this project: {first_fault(error)}"
            ) from None


LEAST_AGREEMENT = 99.5
"""Top-1 agreement with float32, in percent, from which on a compute format is offered."""

FEWEST_IMAGES = 200
"""On fewer images, one of them is more than the half percent that a format may disagree on."""

_REFERENCE = "float32"
_LARGEST_FILE = 2**20

_Percent = Annotated[float, Field(ge=0, le=100)]
_Name = Annotated[str, Field(min_length=1, max_length=100)]
_Fingerprint = Annotated[str, Field(pattern=DIGEST_PATTERN)]


class FormatAgreement(Frozen, strict=True, allow_inf_nan=False):
    """How far a model that is computed in a format says what it says in float32.

    Attributes:
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
        weights: fingerprint of the clean model, its BatchNorm folded.
        dataset: what the images were called.
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
    """Write a card beside its checkpoint, replaced in one step if there is one; say where."""
    path = model_card_path(checkpoint)
    write_atomic(path, card.to_json().encode())
    return path


def read_model_card(checkpoint: Path, *, weights: Digest) -> ModelCard:
    """Read the card beside a checkpoint, which is not read.

    Raises:
        MissingFileError: there is no card.
        FormatError: it is damaged, over 1 MiB, or a newer rwsstore wrote it.
        MismatchError: it is of other weights than those, BatchNorm folded.
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
