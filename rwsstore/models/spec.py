"""What a network is, in the few words that are stored with its weights."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, StrictFloat, StrictStr, ValidationError
from pydantic import model_validator as _model_validator

from rwsstore.canonical import canonical_json
from rwsstore.config import Frozen, first_fault
from rwsstore.errors import ConfigError, FormatError

_Channel = Annotated[StrictFloat, Field(ge=-1000, le=1000)]
_Deviation = Annotated[StrictFloat, Field(gt=0, le=1000)]
_ClassNames = Annotated[tuple[StrictStr, ...], Field(max_length=100_000, strict=False)]
_Means = Annotated[tuple[_Channel, _Channel, _Channel], Field(strict=False)]
_Deviations = Annotated[tuple[_Deviation, _Deviation, _Deviation], Field(strict=False)]


class ModelSpec(Frozen, strict=True):
    """Everything that decides a classifier's tensors but their values.

    Attributes:
        version: of this specification's format; 1.
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

    @_model_validator(mode="after")
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

        Args:
            text: JSON.
            what: the file that it came from, for messages.

        Raises:
            FormatError: no such specification.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise FormatError(
                f"{what} does not describe a model of this project: {first_fault(error)}"
            ) from None
