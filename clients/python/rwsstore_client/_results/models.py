"""The served models."""

__all__ = ["Fingerprint", "InputInfo", "ModelInfo", "ModelPage"]

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


class ModelInfo(Result):
    """A served model, with its active patch set."""

    name: str
    network: str
    parameters: int
    classes: tuple[str, ...]
    fingerprint: Fingerprint
    input: InputInfo
    patchset: PatchSet


class ModelPage(Result):
    """All served models."""

    models: tuple[ModelInfo, ...]
