"""The data sets by name: the digits, embedded, folders, and CIFAR.

Digits: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
Repository, 1998, doi:10.24432/C50P49 (CC BY 4.0); its test part, as scikit-learn ships it in
`sklearn.datasets.load_digits`. `digits.safetensors` beside this file holds the same numbers.

Folders: one a class, in one of two layouts::

    PATH/<class>/....jpg                       one set, whichever split is asked for
    PATH/train/<class>/....jpg
    PATH/test/<class>/....jpg   (or val/)      two splits

The classes are the folders' names in sorted order; with two splits, those of train/, so that a
label means the same in both.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

from rwsstore.data.cifar import CIFAR10, CIFAR100, load_cifar
from rwsstore.data.images import check_size, decode_files, fit_all
from rwsstore.data.imageset import SPLITS, ImageSet, LoadRequest, Split
from rwsstore.errors import ConfigError, DataError, MissingFileError, UnknownNameError
from rwsstore.files import load_tensors
from rwsstore.progress import SILENT, Reporter

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

_TEST_IMAGES = 500
_SPLIT_SEED = 0
_SIDE = 32


def raw_digits() -> tuple[Tensor, Tensor]:
    """Read the digits as they were published.

    Returns:
        (images uint8 [1797, 8, 8] with values 0..16, labels int64 [1797]).
    """
    data = resources.files("rwsstore.data").joinpath("digits.safetensors").read_bytes()
    tensors, _ = load_tensors(data, what="digits")
    return tensors["images"], tensors["labels"].long()


def load_digits(request: LoadRequest) -> ImageSet:
    """Load one split of the digits: 1,297 to train on, 500 (50 a class) to test on.

    The split is fixed. The images are 32×32 RGB, enlarged fourfold, bilinearly, all channels
    equal, white on black; another size is made from those.
    """
    raw, labels = raw_digits()
    # The weights are multiples of 1/64 and the values small integers, so float32 is exact and
    # every machine gets the same bytes.
    large = F.interpolate(
        raw[:, None].float(), size=(_SIDE, _SIDE), mode="bilinear", align_corners=False
    )
    grey = (large * (255 / 16)).round().to(torch.uint8)
    everything = ImageSet(grey.expand(-1, 3, -1, -1).contiguous(), labels, CLASSES, "digits")
    train, test = everything.split_off(_TEST_IMAGES, seed=_SPLIT_SEED)
    chosen = train if request.split == "train" else test
    return fit_all(chosen, request.size, request.progress)


_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
# Images too, but not of a format that is read: named instead of silently left out.
_FOREIGN_SUFFIXES = frozenset({".avif", ".gif", ".heic", ".jp2", ".pgm", ".ppm", ".tif", ".tiff"})


def load_folder(request: LoadRequest) -> ImageSet:
    """Load an image folder; see the module's text for the layouts.

    Raises:
        MissingFileError: there is no such folder.
        DataError: no images, fewer than two classes, a class without images, a class in test/
            that train/ lacks, symbolic links that leave the folder, images that cannot be read
            or that differ in size while no size was asked for, or too many pixels in all.
        ConfigError: the size is out of range.
    """
    check_size(request.size)
    if not request.folder.is_dir():
        raise MissingFileError(
            f"there is no folder {request.folder}; give one that holds a folder for each class"
        )
    root = request.folder.resolve()
    try:
        folder, classes = _layout(request.folder, request.split)
        present = _class_folders(folder)  # this split may lack some of the classes, not all
        files = {name: _image_files(folder / name, root) for name in present}
    except OSError as error:
        raise DataError(f"{request.folder} cannot be listed: {error}") from error
    if not files:
        raise DataError(f"{folder} holds no folders; expected one for each class")
    labels = [classes.index(name) for name, found in files.items() for _ in found]
    paths = [path for found in files.values() for path in found]
    images = decode_files(paths, request.size, request.progress)
    return ImageSet(
        torch.from_numpy(images), torch.tensor(labels), classes, f"imagefolder:{root.name}"
    )


def _layout(folder: Path, split: Split) -> tuple[Path, tuple[str, ...]]:
    """The folder that holds the split asked for, and the names of all classes."""
    train = folder / "train"
    test = next((folder / name for name in ("test", "val") if (folder / name).is_dir()), None)
    if test is None or not train.is_dir():
        return folder, _classes(folder)
    classes = _classes(train)
    foreign = sorted(set(_class_folders(test)) - set(classes))
    if foreign:
        raise DataError(
            f"{test} has the class {foreign[0]!r} ({len(foreign)} such), which {train} lacks; "
            "both must use the same names"
        )
    return (train if split == "train" else test), classes


def _classes(folder: Path) -> tuple[str, ...]:
    classes = _class_folders(folder)
    if len(classes) < 2:
        found = f"only the folder {classes[0]!r}" if classes else "no folders"
        raise DataError(
            f"{folder} holds {found}; expected one folder for each class, at least two, or both "
            "train/ and test/ (or val/) of that form"
        )
    return classes


def _class_folders(folder: Path) -> tuple[str, ...]:
    with os.scandir(folder) as entries:
        return tuple(sorted(e.name for e in entries if e.is_dir() and not e.name.startswith(".")))


def _image_files(folder: Path, root: Path) -> list[Path]:
    """Name every image below a class's folder, sorted."""
    _refuse_link_outside(folder, root)
    found = sorted(_walk(folder, root))
    foreign = [path for path in found if path.suffix.lower() in _FOREIGN_SUFFIXES]
    if foreign:
        raise DataError(
            f"{foreign[0]} and {len(foreign) - 1} more below {folder} are not of a format that "
            "is read; convert them to JPEG, PNG, WebP or BMP, or remove them"
        )
    if not found:
        raise DataError(f"{folder} holds no images (JPEG, PNG, WebP, BMP); fill or remove it")
    return found


def _walk(folder: Path, root: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith("."):
                continue
            if entry.is_symlink():
                if not path.is_file():  # a link to a folder could lead round in a circle
                    raise DataError(f"the link {path} leads to no file; copy the images instead")
                _refuse_link_outside(path, root)
            if entry.is_dir():
                yield from _walk(path, root)
            elif entry.is_file() and path.suffix.lower() in _SUFFIXES | _FOREIGN_SUFFIXES:
                yield path


def _refuse_link_outside(path: Path, root: Path) -> None:
    # An archive that somebody else packed must not make its reader open other files.
    target = path.resolve()
    if not target.is_relative_to(root):
        raise DataError(f"{path} leads outside the dataset, to {target}; copy the files instead")


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
