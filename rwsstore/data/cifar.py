"""CIFAR-10 and CIFAR-100 in the files that their authors publish: fetched, checked, read.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009,
https://www.cs.toronto.edu/~kriz/cifar.html. The files are pickles, so each one's MD5 is compared
with the published one first, on the very bytes that are parsed afterwards, and the unpickler
knows nothing but numpy arrays.
"""

import _codecs
import contextlib
import hashlib
import io
import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rwsstore.data.images import check_size, fit_all
from rwsstore.data.imageset import ImageSet, LoadRequest
from rwsstore.errors import DataError, FormatError, MissingFileError
from rwsstore.files import read_bounded


def _empty_array(*_: object) -> np.ndarray[Any, Any]:
    # The array's state, which follows in the pickle, sets its true shape, dtype and content.
    return np.ndarray((0,), dtype=np.uint8)


# What a pickled numeric array needs, under the names of numpy 1 (the published files) and 2.
_ALLOWED: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy._core.multiarray", "_reconstruct"): _empty_array,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _codecs.encode,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise FormatError(f"asks for {module}.{name}, which is not allowed") from None


def load_arrays(data: bytes, *, what: str) -> dict[str, Any]:
    """Read a pickled dictionary, as Python 2 wrote it.

    Call it on bytes whose hash was checked: this is a second fence, not the first.

    Raises:
        FormatError: the pickle is damaged, asks for anything but arrays, or is no dictionary.
    """
    try:
        content = _ArrayUnpickler(io.BytesIO(data), encoding="latin1").load()
    except FormatError as error:
        raise FormatError(f"{what} {error}") from None
    except Exception as error:  # a damaged pickle raises nearly anything
        raise FormatError(f"{what} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise FormatError(f"{what} holds a {type(content).__name__}; expected a dictionary")
    return content


def fetch_archive(url: str, md5: str, into: Path, result: Path) -> None:
    """Download an archive, compare its MD5, unpack it and remove it.

    Args:
        url: where it is published.
        md5: of the archive.
        into: the folder to unpack in; made where absent.
        result: the folder that the archive holds, for the message.

    Raises:
        MissingFileError: it could not be fetched; the message says where to put the files.
    """
    from rwsstore.models.vision_shim import import_torchvision

    import_torchvision()
    from torchvision.datasets.utils import download_and_extract_archive

    try:
        # torchvision prints; standard output belongs to the results.
        with contextlib.redirect_stdout(sys.stderr):
            download_and_extract_archive(url, str(into), md5=md5, remove_finished=True)
    except (OSError, RuntimeError) as error:
        raise MissingFileError(
            f"{result} holds none of the dataset's files and fetching them failed ({error}); "
            f"download {url} elsewhere and unpack it in {into}"
        ) from error


@dataclass(frozen=True)
class CifarFiles:
    """Where one of the two datasets lies and what its files must be.

    Attributes:
        name: the dataset.
        folder: the archive's own folder.
        url: where the archive is published.
        archive_md5: of the archive.
        train: file name to MD5, in the order of the images.
        test: likewise.
        meta: name and MD5 of the file with the class names.
        labels_key: the entry of a data file that holds its labels.
        names_key: the entry of the meta file that holds the class names.
    """

    name: str
    folder: str
    url: str
    archive_md5: str
    train: Mapping[str, str]
    test: Mapping[str, str]
    meta: tuple[str, str]
    labels_key: str
    names_key: str

    def all_files(self) -> Mapping[str, str]:
        """Every file with its MD5."""
        return {**self.train, **self.test, self.meta[0]: self.meta[1]}


CIFAR10 = CifarFiles(
    name="cifar10",
    folder="cifar-10-batches-py",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    archive_md5="c58f30108f718f92721af3b95e74349a",
    train={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    },
    test={"test_batch": "40351d587109b95175f43aff81a1287e"},
    meta=("batches.meta", "5ff9c542aee3614f3951f8cda6e48888"),
    labels_key="labels",
    names_key="label_names",
)

CIFAR100 = CifarFiles(
    name="cifar100",
    folder="cifar-100-python",
    url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    archive_md5="eb9058c3a382ffc7106e4002c42a8d85",
    train={"train": "16019d7e3df5f24257cddd939b257f8d"},
    test={"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
    meta=("meta", "7973b15100ade9c7d40fb424638fde48"),
    labels_key="fine_labels",
    names_key="fine_label_names",
)

_SIDE = 32
# The largest published file, CIFAR-100's train, has 155 MB.
_MAX_FILE_BYTES = 256 * 2**20


def load_cifar(request: LoadRequest, files: CifarFiles) -> ImageSet:
    """Load one split; the archive is fetched only where none of its files is there.

    Raises:
        MissingFileError: the files are absent and could not be fetched.
        DataError: some files are absent, or a file is not the published one.
        FormatError: a file holds something else than images and labels.
        ConfigError: the size is out of range.
    """
    check_size(request.size)
    folder = _locate(request.folder, files)
    wanted = files.train if request.split == "train" else files.test
    contents = {}
    with request.progress.task(f"reading {files.name}", total=len(wanted) + 1) as task:
        for name, md5 in (*wanted.items(), files.meta):
            data = read_bounded(folder / name, limit=_MAX_FILE_BYTES, what="dataset file")
            found = hashlib.md5(data, usedforsecurity=False).hexdigest()
            if found != md5:
                raise DataError(
                    f"{folder / name} is not the published file (MD5 {found}, expected {md5}) and "
                    "is not opened, as it could run code; fetch it again"
                )
            contents[name] = load_arrays(data, what=name)
            task.advance()
    parts = [_images_and_labels(name, contents[name], files) for name in wanted]
    images = np.concatenate([part[0] for part in parts])
    labels = np.concatenate([part[1] for part in parts])
    classes = contents[files.meta[0]].get(files.names_key)
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise FormatError(f"{files.meta[0]} holds no list {files.names_key}")
    loaded = ImageSet(
        torch.from_numpy(images), torch.from_numpy(labels), tuple(classes), files.name
    )
    return fit_all(loaded, request.size, request.progress)


def _locate(folder: Path, files: CifarFiles) -> Path:
    """Find the folder with the files, in `folder` or being `folder` itself."""
    inside = folder / files.folder
    place = folder if folder.name == files.folder else inside
    absent = [name for name in files.all_files() if not (place / name).is_file()]
    if len(absent) == len(files.all_files()):
        fetch_archive(files.url, files.archive_md5, place.parent, place)
    elif absent:
        raise DataError(
            f"{place} lacks {', '.join(absent)}; unpack the whole archive there: {files.url}"
        )
    return place


def _images_and_labels(
    name: str, content: Mapping[str, Any], files: CifarFiles
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    data, labels = content.get("data"), content.get(files.labels_key)
    if not isinstance(data, np.ndarray) or not isinstance(labels, list):
        raise FormatError(f"{name} holds no data or no {files.labels_key}")
    if data.dtype != np.uint8 or data.shape != (len(labels), 3 * _SIDE * _SIDE):
        raise FormatError(
            f"{name} holds data {data.dtype} {list(data.shape)}; "
            f"expected uint8 [{len(labels)}, {3 * _SIDE * _SIDE}]"
        )
    return data.reshape(-1, 3, _SIDE, _SIDE), np.asarray(labels, dtype=np.int64)
