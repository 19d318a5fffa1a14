"""One flat buffer for all tensors that a patch set touches, so that few operations fill it."""

__all__ = ["Layout"]

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from math import prod

from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """Where each tensor lies in the buffer.

    Tensors whose rows (the slices along the first dimension) are equally long lie side by side,
    those of one dimension at the end: then one multiplication reaches all of them.

    Attributes:
        names: of the tensors, in the order in which they lie.
        shapes: of each.
        sizes: numbers in each.
        starts: place of the first number of each.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    sizes: tuple[int, ...]
    starts: tuple[int, ...]

    @classmethod
    def of(cls, shapes: Mapping[str, Iterable[int]]) -> "Layout":
        """Lay tensors of these shapes out."""
        found = {name: tuple(shape) for name, shape in shapes.items()}

        def place(name: str) -> tuple[bool, int, str]:
            shape = found[name]
            return len(shape) < 2, prod(shape[1:]), name

        names = tuple(sorted(found, key=place))
        sizes = tuple(prod(found[name]) for name in names)
        starts = tuple(accumulate((0, *sizes[:-1]))) if names else ()
        return cls(names, tuple(found[name] for name in names), sizes, starts)

    @property
    def size(self) -> int:
        """Numbers in the whole buffer."""
        return sum(self.sizes)

    def views(self, buffer: Tensor) -> dict[str, Tensor]:
        """The tensors by name, sharing the buffer's memory."""
        parts = buffer.split_with_sizes(self.sizes)
        named = zip(self.names, parts, self.shapes, strict=True)
        return {name: part.view(shape) for name, part, shape in named}
