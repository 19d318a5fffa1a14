"""What one model takes and gives: names, types, shapes, and how much of it."""

__all__ = ["FP32", "IMAGES", "LABELS", "LOGITS", "OUTPUTS", "UINT8", "VERSION", "Contract"]

from dataclasses import dataclass

from rwsstore_service.oip.schemas import ModelMetadata, TensorMetadata
from rwsstore_service.problems import ProblemError

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
    def max_json_bytes(self) -> int:
        """Most bytes of JSON in one request."""
        return self.max_images * self._image_items * _NUMBER_BYTES + _REST_BYTES

    @property
    def max_json_items(self) -> int:
        """Most commas in a request's JSON: more than the numbers of all images have."""
        return self.max_images * self._image_items + _REST_ITEMS

    @property
    def max_json_containers(self) -> int:
        """Most lists and objects in a request's JSON, images as nested lists included."""
        return self.max_images * (1 + _CHANNELS * (1 + self.size)) + _REST_ITEMS

    def check_shape(self, shape: list[int]) -> tuple[int, int, int, int]:
        """Take a shape that the model takes.

        Raises:
            ProblemError: too many images (`too-large`), or another shape (`invalid-request`).
        """
        if len(shape) != 4 or shape[0] < 1 or shape[1:] != self._image_shape:
            raise ProblemError(
                "invalid-request",
                f"images has shape {_shorten(shape)}; expected {self._expected}, with n from 1 to "
                f"{self.max_images}. Tensors are not resized: send images of this size",
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

    @property
    def _expected(self) -> str:
        return f"[n, {_CHANNELS}, {self.size}, {self.size}]"


def _shorten(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
