"""What a corruption is told beside the images."""

__all__ = ["Setting"]

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from rwsstore.corruptions.keys import ImageKeys
from rwsstore.corruptions.severity import SeverityTable


@dataclass(frozen=True)
class Setting:
    """The constants and the random numbers for one batch.

    Attributes:
        numbers: the corruption's constants at this severity (severity.json).
        keys: the per-image random numbers.
        table: the table that the constants are from.
        overlays: frost photographs, uint8 [3, H, W] each; empty for synthetic frost.
    """

    numbers: tuple[float, ...]
    keys: ImageKeys
    table: SeverityTable
    overlays: Sequence[Tensor] = ()

    def part(self, start: int, stop: int) -> "Setting":
        """The setting for the images from `start` up to `stop`."""
        return replace(self, keys=self.keys.part(start, stop))
