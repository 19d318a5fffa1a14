"""What one model takes and gives, and the bodies of the Open Inference Protocol.

Requests are strict: a parameter that is misspelt is refused, not left out of account.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from rwsstore.config import Frozen
from rwsstore_service.wire.problems import ProblemError

_Name = Annotated[str, Field(max_length=256)]
_ParameterValue = bool | int | float | str


class _Request(BaseModel):
    """A part of what a client sends."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class InputParameters(_Request):
    """Parameters of an input."""

    binary_data_size: int | None = None


class RequestInput(_Request):
    """One input; its data are here, or behind the JSON in binary."""

    name: _Name
    shape: Annotated[list[int], Field(max_length=8)]
    datatype: Annotated[str, Field(max_length=16)]
    parameters: InputParameters = InputParameters()
    data: Any = None


class OutputParameters(_Request):
    """Parameters of an output; `classification` is known only so that it can be refused."""

    binary_data: bool | None = None
    classification: Any = None


class RequestOutput(_Request):
    """One output that is asked for."""

    name: _Name
    parameters: OutputParameters = OutputParameters()


class RequestParameters(_Request):
    """Parameters of a request."""

    patchset: Annotated[str, Field(max_length=65_536)] = "active"
    binary_data_output: bool = False
    timeout: Annotated[int, Field(ge=0, le=3_600_000_000)] = 0  # microseconds; 0 is none


class InferRequest(_Request):
    """The JSON of an inference request."""

    id: Annotated[str, Field(max_length=1024)] | None = None
    parameters: RequestParameters = RequestParameters()
    inputs: Annotated[list[RequestInput], Field(min_length=1, max_length=64)]
    outputs: Annotated[list[RequestOutput], Field(max_length=64)] = []


class IndexRequest(_Request):
    """The JSON of a request for the repository's index."""

    ready: bool = False


class ServerMetadata(Frozen):
    """What serves."""

    name: Literal["rwsstore"]
    version: str
    extensions: list[str] = Field(description="Of the protocol, that are supported.")


class ServerLive(Frozen):
    """That the process answers."""

    live: Literal[True]


class ServerReady(Frozen):
    """That every model can predict."""

    ready: Literal[True]


class ModelReady(Frozen):
    """That one model can predict."""

    name: str
    ready: Literal[True]


class TensorMetadata(Frozen):
    """One input or output."""

    name: str
    datatype: str
    shape: list[int] = Field(description="-1 where the number of images stands.")
    parameters: dict[str, _ParameterValue] | None = None


class ModelMetadata(Frozen):
    """One model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class IndexEntry(Frozen):
    """One model of the repository."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str = Field(description="Why it is in this state; empty where it is ready.")


class ResponseOutput(Frozen):
    """One output; with `binary_data_size` its data stand behind the JSON, else in `data`."""

    name: Literal["logits", "labels"]
    datatype: Literal["FP32", "BYTES"]
    shape: list[int]
    parameters: dict[str, _ParameterValue] | None = None
    data: list[float] | list[str] | None = Field(None, description="Flat, image after image.")


class InferResponse(Frozen):
    """The JSON of an answer to an inference request."""

    model_name: str
    model_version: Literal["1"]
    id: str | None = Field(None, description="As it was in the request; absent where it had none.")
    parameters: dict[str, _ParameterValue] = Field(
        description="patchset: what computed it, in the words of a request; state_digest: of its "
        "weights; generation: of the active patch set, absent where the request brought its own."
    )
    outputs: list[ResponseOutput]


IMAGES = "images"
LOGITS = "logits"
LABELS = "labels"
OUTPUTS = (LOGITS, LABELS)
"""Every output, in the order in which they come when none is asked for."""

UINT8 = "UINT8"
FP32 = "FP32"
VERSION = "1"
"""The only version of every model."""

_CHANNELS = 3
_ITEM_BYTES = {UINT8: 1, FP32: 4}

# A number and its comma may take this many bytes of JSON, indentation included.
_NUMBER_BYTES = 64
# What a request holds beside its numbers: names, parameters, outputs.
_REST_BYTES = 128 * 1024
_REST_ITEMS = 1024


@dataclass(frozen=True)
class JsonLimits:
    """How much JSON is read.

    Attributes:
        size: most bytes.
        items: most commas.
        containers: most lists and objects.
    """

    size: int
    items: int
    containers: int


@dataclass(frozen=True)
class Contract:
    """One model's inputs and outputs, and the limits of a request.

    Attributes:
        model: its name.
        size: height and width of its images, in pixels.
        classes: names of its classes; as many as it has logits.
        max_images: most images in one request.
    """

    model: str
    size: int
    classes: tuple[str, ...]
    max_images: int

    @property
    def json_limits(self) -> JsonLimits:
        """How much JSON a request may have: all images, as nested lists, and the rest."""
        return JsonLimits(
            size=self.max_images * self._image_items * _NUMBER_BYTES + _REST_BYTES,
            items=self.max_images * self._image_items + _REST_ITEMS,
            containers=self.max_images * (1 + _CHANNELS * (1 + self.size)) + _REST_ITEMS,
        )

    def check_shape(self, shape: list[int]) -> tuple[int, int, int, int]:
        """Take a shape that the model takes.

        Raises:
            ProblemError: too many images (`too-large`), or another shape (`invalid-request`).
        """
        if len(shape) != 4 or shape[0] < 1 or shape[1:] != self._image_shape:
            raise ProblemError(
                "invalid-request",
                f"images has shape {_shorten(shape)}; expected [n, {_CHANNELS}, {self.size}, "
                f"{self.size}], with n from 1 to {self.max_images}. Tensors are not resized: send "
                "images of this size",
            )
        if shape[0] > self.max_images:
            raise ProblemError(
                "too-large",
                f"{_shorten(shape[0])} images in one request; expected 1 to {self.max_images}",
            )
        return shape[0], _CHANNELS, self.size, self.size

    def byte_count(self, shape: tuple[int, int, int, int], datatype: str) -> int:
        """How many bytes a tensor has in binary."""
        return shape[0] * self._image_items * _ITEM_BYTES[datatype]

    def metadata(self) -> ModelMetadata:
        """Describe the model in the protocol's words."""
        images = TensorMetadata(
            name=IMAGES,
            datatype=UINT8,
            shape=[-1, *self._image_shape],
            parameters={
                "also": f"{FP32} within [0, 1]",
                "colour": "red, green, blue",
                "max_images": self.max_images,
            },
        )
        logits = TensorMetadata(name=LOGITS, datatype=FP32, shape=[-1, len(self.classes)])
        labels = TensorMetadata(name=LABELS, datatype="BYTES", shape=[-1])
        return ModelMetadata(
            name=self.model,
            versions=[VERSION],
            platform="pytorch_rwsstore",
            inputs=[images],
            outputs=[logits, labels],
        )

    @property
    def _image_shape(self) -> list[int]:
        return [_CHANNELS, self.size, self.size]

    @property
    def _image_items(self) -> int:
        return _CHANNELS * self.size * self.size


def _shorten(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
