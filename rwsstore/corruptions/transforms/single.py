"""One corruption as a transform."""

__all__ = ["Corrupt"]

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from torch import Tensor

from rwsstore.corruptions.apply import check_overlays, check_seed, corrupt
from rwsstore.corruptions.registry import CORRUPTIONS, find_corruption
from rwsstore.corruptions.severity import check_severity, severity_table
from rwsstore.corruptions.transforms.base import Transform


@dataclass(frozen=True)
class Corrupt(Transform):
    """One corruption at one severity.

    Attributes:
        name: a name in `CORRUPTIONS`.
        severity: 1 to 5, also in between.
        seed: any integer.
        table: name of the severity table; None for the one that suits the image's size.
        frost_overlays: uint8 [3, H, W] photographs for frost; None for synthetic frost. They do
            not count when transforms are compared.

    Raises:
        UnknownNameError: no such corruption or table.
        ConfigError: severity, seed or overlays are not as said.
        TensorError: an overlay is no uint8 [3, H, W].
    """

    name: str
    severity: float = 5
    seed: int = field(default=0, kw_only=True)
    table: str | None = field(default=None, kw_only=True)
    frost_overlays: Sequence[Tensor] | None = field(
        default=None, kw_only=True, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        find_corruption(self.name)
        object.__setattr__(self, "severity", check_severity(self.severity))
        check_seed(self.seed)
        check_overlays(self.frost_overlays)
        if self.table is not None:
            severity_table(self.table)

    def on_batch(self, images: Tensor, indices: Sequence[int]) -> Tensor:
        """Corrupt a batch, as `rwsstore.corruptions.corrupt` does."""
        return corrupt(
            images,
            self.name,
            self.severity,
            seed=self.seed,
            indices=indices,
            table=self.table,
            frost_overlays=self.frost_overlays,
        )

    def with_seed(self, seed: int) -> Self:
        """The same corruption with another seed."""
        return replace(self, seed=seed)

    def stream(self) -> tuple[object, ...] | None:
        """Name the random numbers that are drawn; None where none are."""
        is_random = CORRUPTIONS[self.name].is_random
        return (self.name, int(self.severity), self.seed) if is_random else None
