"""A corrupted copy of a data set: what it is made of, and the layouts that it is written in.

DIR/<corruption>.npy is uint8 [S·N, H, W, 3], severity by severity: rows 0 … N - 1 are all images
at the first severity, and so on. DIR/labels.npy is int64 [S·N], the labels S times over.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from rwsstore.corruptions import SEVERITIES, Corrupt, corrupt
from rwsstore.corruptions.severity import check_severity
from rwsstore.cpu import thread_count
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError, UnknownNameError
from rwsstore.files import make_folders, staged_file, staged_folder
from rwsstore.progress import Task

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


_PIECE_BYTES = 8 * 2**20
_MOST_IMAGES = 512

Pictures = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ExportJob:
    """One export.

    Attributes:
        images: clean.
        indices: each image's index in its data set; its random numbers go by it.
        options: which corruptions, and how.
        folder: where to.
        overlays: frost photographs; None for synthetic frost.
        workers: threads that corrupt side by side.
        unchanged: counts, for (corruption, severity), the images that came out as they went in.
    """

    images: ImageSet
    indices: Sequence[int]
    options: ExportOptions
    folder: Path
    overlays: Sequence[Tensor] | None = None
    workers: int = 1
    unchanged: Counter[tuple[str, float]] = field(default_factory=Counter)

    @property
    def piece(self) -> int:
        """How many images are worked on at a time, so that memory stays bounded."""
        return max(1, min(_MOST_IMAGES, _PIECE_BYTES // self.images.images[0].numel()))

    def corrupted(self, name: str, severity: float) -> Iterator[tuple[int, Pictures]]:
        """Corrupt all images, piece by piece, a few pieces side by side.

        Yields:
            The position of the piece's first image, and the piece: uint8 [n, H, W, 3].
        """
        starts = iter(range(0, len(self.images), self.piece))
        with ThreadPoolExecutor(self.workers) as pool:

            def begun(start: int) -> tuple[int, Future[tuple[Pictures, int]]]:
                return start, pool.submit(self._piece, name, severity, start)

            # One piece waits for its turn, so that no worker does.
            waiting = deque(map(begun, islice(starts, self.workers + 1)))
            while waiting:
                start, piece = waiting.popleft()
                pictures, same = piece.result()
                waiting.extend(map(begun, islice(starts, 1)))
                if same:
                    self.unchanged[name, severity] += same
                yield start, pictures

    def _piece(self, name: str, severity: float, start: int) -> tuple[Pictures, int]:
        """A corrupted piece, and how many of its images came out as they went in."""
        clean = self.images.images[start : start + self.piece]
        made = corrupt(
            clean,
            name,
            severity,
            seed=self.options.seed,
            indices=self.indices[start : start + len(clean)],
            table=self.options.table,
            frost_overlays=self.overlays,
        )
        same = int((made == clean).flatten(1).all(1).sum())
        return np.ascontiguousarray(made.permute(0, 2, 3, 1).numpy()), same


@dataclass(frozen=True)
class ExportPart:
    """What is written at once: it is there whole, or not at all.

    Attributes:
        corruption: its name.
        severities: that it holds.
        path: of its file or folder.
    """

    corruption: str
    severities: tuple[float, ...]
    path: Path


class Layout:
    """A way to lay a corrupted data set out in files."""

    name: ClassVar[str]

    def prepare(self, job: ExportJob) -> None:
        """Refuse what this layout cannot hold, before anything is written."""

    def parts(self, job: ExportJob) -> Iterable[ExportPart]:
        """What is to be written, in order."""
        raise NotImplementedError

    def write(self, job: ExportJob, part: ExportPart, task: Task) -> None:
        """Write one part whole, telling `task` of each image."""
        raise NotImplementedError

    def write_common(self, job: ExportJob) -> None:
        """Write what belongs to all parts."""


class CifarC(Layout):
    """One array a corruption, written piece by piece, and labels.npy."""

    name = "cifar-c"

    def parts(self, job: ExportJob) -> Iterator[ExportPart]:
        """A file for each corruption."""
        severities = job.options.severities
        for name in job.options.corruptions:
            yield ExportPart(name, severities, job.folder / f"{name}.npy")

    def write(self, job: ExportJob, part: ExportPart, task: Task) -> None:
        """Write one corruption's array."""
        count = len(part.severities) * len(job.images)
        _, channels, height, width = job.images.images.shape
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, height, width, channels)}
        with staged_file(part.path) as stream:
            np.lib.format.write_array_header_1_0(stream, header)
            for severity in part.severities:
                for _, pictures in job.corrupted(part.corruption, severity):
                    stream.write(pictures.data)
                    task.advance(len(pictures), note=f"{part.corruption} {severity}")

    def write_common(self, job: ExportJob) -> None:
        """Write the labels."""
        labels = np.tile(job.images.labels.numpy(), len(job.options.severities))
        with staged_file(job.folder / "labels.npy") as stream:
            np.save(stream, labels.astype(np.int64), allow_pickle=False)


_MOST_THREADS = 8
# Noise hardly compresses: more effort takes ten times as long and saves a few percent.
_PNG_EFFORT = 1
# As ImageNet-C was published.
_JPEG_QUALITY = 85


class ImageFolder(Layout):
    """One picture a file, in a folder for each corruption, severity and class."""

    name = "imagefolder"

    def parts(self, job: ExportJob) -> Iterator[ExportPart]:
        """A folder for each corruption and severity."""
        for name in job.options.corruptions:
            for severity in job.options.severities:
                yield ExportPart(name, (severity,), job.folder / name / str(severity))

    def prepare(self, job: ExportJob) -> None:
        """Refuse a class whose name cannot name a folder.

        Raises:
            ConfigError: there is one.
        """
        for name in job.images.classes:
            if name.startswith(".") or "/" in name or "\0" in name:
                raise ConfigError(
                    f"the class {name!r} cannot name a folder; the layout cifar-c needs none"
                )

    def write(self, job: ExportJob, part: ExportPart, task: Task) -> None:
        """Write one corruption at one severity."""
        make_folders(part.path.parent)
        (severity,) = part.severities
        threads = min(_MOST_THREADS, thread_count())
        with staged_folder(part.path) as folder, ThreadPoolExecutor(threads) as pool:
            for name in job.images.classes:
                (folder / name).mkdir()
            for start, pictures in job.corrupted(part.corruption, severity):
                paths = [_path(job, folder, start + place) for place in range(len(pictures))]
                for _ in pool.map(_save, pictures, paths):
                    pass
                task.advance(len(pictures), note=f"{part.corruption} {severity}")


def _path(job: ExportJob, folder: Path, place: int) -> Path:
    """Named by the index in the data set, with leading zeros, so that names sort as indices do."""
    digits = max(5, len(str(job.indices[-1])))  # they rise
    index = f"{job.indices[place]:0{digits}d}{PICTURE_FORMATS[job.options.picture_format]}"
    return folder / job.images.classes[int(job.images.labels[place])] / index


def _save(pixels: Pictures, path: Path) -> None:
    picture = Image.fromarray(pixels)
    if path.suffix == PICTURE_FORMATS["png"]:
        picture.save(path, "PNG", compress_level=_PNG_EFFORT)
    else:
        picture.save(path, "JPEG", quality=_JPEG_QUALITY, optimize=True)
