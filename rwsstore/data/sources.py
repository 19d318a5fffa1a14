"""The datasets by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from rwsstore.data.cifar import CIFAR10, CIFAR100, load_cifar
from rwsstore.data.digits import load_digits
from rwsstore.data.folder import load_folder
from rwsstore.data.images import check_size
from rwsstore.data.imageset import SPLITS, ImageSet, LoadRequest, Split
from rwsstore.errors import ConfigError, UnknownNameError
from rwsstore.progress import SILENT, Reporter


@dataclass(frozen=True)
class DataSource:
    """A row of the registry.

    Attributes:
        name: what comes before the colon.
        needs_path: whether a folder comes after it; if not, none may.
        summary: the dataset in a few words.
        load: reads one split.
    """

    name: str
    needs_path: bool
    summary: str
    load: Callable[[LoadRequest], ImageSet]


_ROWS = (
    DataSource("digits", False, "1,797 handwritten digits, embedded", load_digits),
    DataSource(
        "cifar10", True, "CIFAR-10 as torchvision keeps it", partial(load_cifar, files=CIFAR10)
    ),
    DataSource(
        "cifar100", True, "CIFAR-100 as torchvision keeps it", partial(load_cifar, files=CIFAR100)
    ),
    DataSource("imagefolder", True, "a folder with one folder a class", load_folder),
)

DATASETS: Mapping[str, DataSource] = MappingProxyType({row.name: row for row in _ROWS})
"""Every source by the name that comes before the colon."""


def parse_dataset(name: str) -> tuple[DataSource, Path | None]:
    """Take `digits` or `imagefolder:PATH` apart; a leading `~` in PATH is the home folder.

    Returns:
        (source, folder); the folder is None for a source that needs none. Whether it exists is
        not looked at.

    Raises:
        UnknownNameError: there is no such source.
        ConfigError: a folder is missing, or given where none belongs.
    """
    head, colon, tail = name.partition(":")
    if head not in DATASETS:
        raise UnknownNameError("dataset", head, DATASETS)
    source = DATASETS[head]
    if not source.needs_path:
        if colon:
            raise ConfigError(f"the dataset {head!r} takes no folder, but {tail!r} was given")
        return source, None
    if not tail:
        raise ConfigError(f"the dataset {head!r} needs a folder: {head}:PATH")
    if "\0" in tail:
        raise ConfigError(f"the folder of {head!r} holds a NUL character")
    try:
        return source, Path(tail).expanduser()
    except RuntimeError as error:  # ~name of nobody
        raise ConfigError(f"cannot expand {tail!r}: {error}") from None


def load_images(
    name: str, split: Split, *, size: int | None = None, progress: Reporter = SILENT
) -> ImageSet:
    """Load one split of a dataset into memory.

    Args:
        name: `digits`, `cifar10:PATH`, `cifar100:PATH` or `imagefolder:PATH`.
        split: "train" or "test".
        size: height and width in pixels, 1..4096; images that differ are resized (shorter side,
            antialiased bilinear) and centre-cropped. None keeps them, and all must agree.
        progress: who is told how far decoding is.

    Raises:
        UnknownNameError: no such source or split.
        ConfigError: a folder missing or too many, or the size out of range.
        MissingFileError: no such folder, or files that are absent and could not be fetched.
        DataError: files that make no usable dataset.
        FormatError: a file that is not what its name promises.
    """
    if split not in SPLITS:
        raise UnknownNameError("split", split, SPLITS)
    check_size(size)
    source, folder = parse_dataset(name)
    return source.load(LoadRequest(folder or Path(), split, size, progress))
