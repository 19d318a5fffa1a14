"""Means of the parts of a loss over an epoch."""

__all__ = ["Averages"]

from torch import Tensor


class Averages:
    """Running means by name, weighted by the images of each batch."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._images = 0

    def add(self, images: int, **values: Tensor) -> None:
        """Count a batch's means."""
        self._images += images
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + images * float(value.detach())

    def means(self) -> dict[str, float]:
        """The means so far; nothing before the first batch."""
        return {name: total / self._images for name, total in self._sums.items()}
