"""What a corrupted copy is made of."""

__all__ = ["PICTURE_FORMATS", "ExportOptions"]

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from rwsstore.corruptions import SEVERITIES, Corrupt
from rwsstore.corruptions.severity import check_severity
from rwsstore.errors import ConfigError, UnknownNameError

PICTURE_FORMATS: Mapping[str, str] = MappingProxyType({"png": ".png", "jpeg": ".jpg"})
"""Formats of single pictures, with their suffixes."""


@dataclass(frozen=True)
class ExportOptions:
    """How a corrupted copy is made.

    Attributes:
        corruptions: names; each once.
        severities: 1 to 5, also in between, each once, in the order in which they are written.
        seed: of the corruptions.
        table: name of the severity table; None for the one that suits the images' size.
        frost_overlays: folder of photographs for the exact frost; None is the synthetic one.
        picture_format: of single pictures. "png" holds the corrupted image to the bit. "jpeg"
            (quality 85) is how ImageNet-C is published: smaller, but every picture gets a second,
            unasked-for corruption on top.

    Raises:
        UnknownNameError: no such corruption, table or format.
        ConfigError: another parameter is not as said.
    """

    corruptions: tuple[str, ...]
    severities: tuple[float, ...] = SEVERITIES
    seed: int = 0
    table: str | None = None
    frost_overlays: Path | None = None
    picture_format: str = "png"

    def __post_init__(self) -> None:
        if not self.corruptions or len(set(self.corruptions)) != len(self.corruptions):
            raise ConfigError(f"corruptions {self.corruptions}: none, or one named twice")
        object.__setattr__(self, "severities", tuple(map(check_severity, self.severities)))
        if not self.severities or len(set(self.severities)) != len(self.severities):
            raise ConfigError(f"severities {self.severities}: none, or one named twice")
        for name in self.corruptions:
            Corrupt(name, seed=self.seed, table=self.table)
        if self.picture_format not in PICTURE_FORMATS:
            raise UnknownNameError("picture format", self.picture_format, PICTURE_FORMATS)
