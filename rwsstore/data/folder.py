"""Images in folders, one folder a class.

Two layouts are read::

    PATH/<class>/....jpg                       one set, whichever split is asked for
    PATH/train/<class>/....jpg
    PATH/test/<class>/....jpg   (or val/)      two splits

The classes are the folders' names in sorted order; with two splits, those of train/, so that a
label means the same in both.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from rwsstore.data.images import check_size, decode_files
from rwsstore.data.imageset import ImageSet, LoadRequest, Split
from rwsstore.errors import DataError, MissingFileError

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
# Images too, but not of a format that is read: named instead of silently left out.
_FOREIGN_SUFFIXES = frozenset({".avif", ".gif", ".heic", ".jp2", ".pgm", ".ppm", ".tif", ".tiff"})


@dataclass(frozen=True)
class _Layout:
    """The folder that holds the split asked for, and the names of all classes."""

    folder: Path
    classes: tuple[str, ...]


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
        layout = _layout(request.folder, request.split)
        present = _class_folders(layout.folder)  # this split may lack some of the classes, not all
        files = {name: _image_files(layout.folder / name, root) for name in present}
    except OSError as error:
        raise DataError(f"{request.folder} cannot be listed: {error}") from error
    if not files:
        raise DataError(f"{layout.folder} holds no folders; expected one for each class")
    labels = [layout.classes.index(name) for name, found in files.items() for _ in found]
    paths = [path for found in files.values() for path in found]
    images = decode_files(paths, request.size, request.progress)
    return ImageSet(
        torch.from_numpy(images), torch.tensor(labels), layout.classes, f"imagefolder:{root.name}"
    )


def _layout(folder: Path, split: Split) -> _Layout:
    train = folder / "train"
    test = next((folder / name for name in ("test", "val") if (folder / name).is_dir()), None)
    if test is None or not train.is_dir():
        return _Layout(folder, _classes(folder))
    classes = _classes(train)
    foreign = sorted(set(_class_folders(test)) - set(classes))
    if foreign:
        raise DataError(
            f"{test} has the class {foreign[0]!r} ({len(foreign)} such), which {train} lacks; "
            "both must use the same names"
        )
    return _Layout(train if split == "train" else test, classes)


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
