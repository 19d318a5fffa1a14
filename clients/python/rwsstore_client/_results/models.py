"""The served models."""

__all__ = ["ComputeInfo", "Fingerprint", "InputInfo", "ModelInfo", "ModelPage", "OfferedFormat"]

from rwsstore_client._results.base import Result
from rwsstore_client._results.patchsets import PatchSet


class Fingerprint(Result):
    """SHA-256 fingerprints of the clean model."""

    architecture: str
    weights: str


class InputInfo(Result):
    """What the model takes, and how much of it at once."""

    channels: int
    height: int
    width: int
    formats: tuple[str, ...]
    resize: str
    max_images: int
    max_pixels: int
    max_image_bytes: int


class OfferedFormat(Result):
    """A compute format that the model may be served in.

    Attributes:
        name: of the format.
        agreement: its top-1 agreement with float32, in percent, the lowest of clean model and
            patches; None where it was not measured.
        images: measured on.
        milliseconds: that a batch took when the service started; None where it was not tried.
    """

    name: str
    agreement: float | None
    images: int | None
    milliseconds: float | None


class ComputeInfo(Result):
    """In which arithmetic and layout the model is computed.

    Attributes:
        format: in use.
        why: probe, operator, only_offered or exact.
        agreement: of the format in use, as in `offered`.
        offered: what it was chosen from.
    """

    format: str
    why: str
    agreement: float | None
    offered: tuple[OfferedFormat, ...]


class ModelInfo(Result):
    """A served model, with its active patch set; `compute` is None from older services."""

    name: str
    network: str
    parameters: int
    classes: tuple[str, ...]
    fingerprint: Fingerprint
    input: InputInfo
    compute: ComputeInfo | None = None
    patchset: PatchSet


class ModelPage(Result):
    """All served models."""

    models: tuple[ModelInfo, ...]
