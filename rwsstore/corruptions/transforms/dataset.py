"""A data set whose images are corrupted under their own indices."""

__all__ = ["CorruptedDataset"]

from typing import Any

from torch.utils.data import Dataset

from rwsstore.corruptions.transforms.base import Transform


class CorruptedDataset(Dataset[Any]):
    """A map-style data set with a transform on its images, each under its index.

    A transform inside a data set is not told the index and goes by the image's content. Here it
    is, so that a data loader yields exactly the images that `corrupt` makes of the whole set,
    however many workers it has.

    Args:
        dataset: its samples hold one image each.
        transform: for the images.
    """

    def __init__(self, dataset: Dataset[Any], transform: Transform) -> None:
        self.dataset, self.transform = dataset, transform

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]  # torch's Dataset declares no length

    def __getitem__(self, index: int) -> Any:
        """The sample at an index, its image corrupted."""
        place = index + len(self) if index < 0 else index
        return self.transform(self.dataset[index], indices=place)
