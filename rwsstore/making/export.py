"""A corrupted copy of a data set, in one of two layouts; what was interrupted goes on.

DIR/<corruption>.npy is uint8 [S·N, H, W, 3], severity by severity: rows 0 … N - 1 are all images
at the first severity, and so on. DIR/labels.npy is int64 [S·N], the labels S times over.
"""

import hashlib
import json
import warnings
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import PIL
import torch
from PIL import Image
from torch import Tensor

from rwsstore import __version__, corruptions, files
from rwsstore.corruptions import SEVERITIES
from rwsstore.corruptions.rows import check_severity
from rwsstore.cpu import thread_count
from rwsstore.data import ImageSet, Split
from rwsstore.errors import ConfigError, ConflictError, FormatError, UnknownNameError
from rwsstore.progress import SILENT, Reporter, Task

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
            corruptions.Corrupt(name, seed=self.seed, table=self.table)
        if self.picture_format not in PICTURE_FORMATS:
            raise UnknownNameError("picture format", self.picture_format, PICTURE_FORMATS)


_PIECE_BYTES = 8 * 2**20
_MOST_IMAGES = 512

Pictures = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ExportJob:
    """One export: what is corrupted, how, and where to.

    An image's random numbers go by its index. `unchanged` counts, for (corruption, severity), the
    images that came out as they went in.
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
        made = corruptions.corrupt(
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
    """What is written at once, a file or a folder: it is there whole, or not at all."""

    corruption: str
    severities: tuple[float, ...]
    path: Path


class Layout:
    """A way to lay a corrupted data set out in files."""

    name: ClassVar[str]

    def parts(self, job: ExportJob) -> list[ExportPart]:
        """What is to be written, in order; refuses what this layout cannot hold."""
        raise NotImplementedError

    def write(self, job: ExportJob, part: ExportPart, task: Task) -> None:
        """Write one part whole, telling `task` of each image."""
        raise NotImplementedError

    def write_common(self, job: ExportJob) -> None:
        """Write what belongs to all parts."""


class CifarC(Layout):
    """One array a corruption, written piece by piece, and labels.npy."""

    name = "cifar-c"

    def parts(self, job: ExportJob) -> list[ExportPart]:
        """A file for each corruption."""
        severities = job.options.severities
        return [
            ExportPart(name, severities, job.folder / f"{name}.npy")
            for name in job.options.corruptions
        ]

    def write(self, job: ExportJob, part: ExportPart, task: Task) -> None:
        """Write one corruption's array."""
        count = len(part.severities) * len(job.images)
        _, channels, height, width = job.images.images.shape
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, height, width, channels)}
        with files.staged_file(part.path) as stream:
            np.lib.format.write_array_header_1_0(stream, header)
            for severity in part.severities:
                for _, pictures in job.corrupted(part.corruption, severity):
                    stream.write(pictures.data)
                    task.advance(len(pictures), note=f"{part.corruption} {severity}")

    def write_common(self, job: ExportJob) -> None:
        """Write the labels."""
        labels = np.tile(job.images.labels.numpy(), len(job.options.severities))
        with files.staged_file(job.folder / "labels.npy") as stream:
            np.save(stream, labels.astype(np.int64), allow_pickle=False)


_MOST_THREADS = 8
# Noise hardly compresses: more effort takes ten times as long and saves a few percent.
_PNG_EFFORT = 1
# As ImageNet-C was published.
_JPEG_QUALITY = 85


class ImageFolder(Layout):
    """One picture a file, in a folder for each corruption, severity and class."""

    name = "imagefolder"

    def parts(self, job: ExportJob) -> list[ExportPart]:
        """A folder for each corruption and severity; no class whose name cannot name a folder."""
        for name in job.images.classes:
            if name.startswith(".") or "/" in name or "\0" in name:
                raise ConfigError(
                    f"the class {name!r} cannot name a folder; the layout cifar-c needs none"
                )
        return [
            ExportPart(name, (severity,), job.folder / name / str(severity))
            for name in job.options.corruptions
            for severity in job.options.severities
        ]

    def write(self, job: ExportJob, part: ExportPart, task: Task) -> None:
        """Write one corruption at one severity."""
        files.make_folders(part.path.parent)
        (severity,) = part.severities
        threads = min(_MOST_THREADS, thread_count())
        with files.staged_folder(part.path) as folder, ThreadPoolExecutor(threads) as pool:
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


MANIFEST = "rws-corrupt.json"
"""The manifest's name."""

_VERSION = 1
_LIMIT = 2**20
# What may differ between a run and the one that goes on with it.
_GROWS = "corruptions"


def _manifest(job: ExportJob, layout: str, split: str) -> dict[str, Any]:
    """Describe everything that the corrupted images follow from."""
    images, options = job.images, job.options
    height, width = images.images.shape[2:]
    table = options.table
    chosen = (
        corruptions.table_for(height, width) if table is None else corruptions.severity_table(table)
    )
    clean = hashlib.sha256()
    for start in range(0, len(images), job.piece):
        clean.update(images.images[start : start + job.piece].contiguous().numpy().data)
    clean.update(images.labels.numpy().tobytes())
    clean.update(np.array(job.indices, dtype="<i8").tobytes())
    frost = corruptions.frost_source(options.frost_overlays)
    if job.overlays:
        overlays = hashlib.sha256()
        for overlay in job.overlays:
            overlays.update(repr(list(overlay.shape)).encode("ascii"))
            overlays.update(overlay.contiguous().numpy().data)
        frost = f"{frost}, SHA-256 {overlays.hexdigest()}"
    return {
        "version": _VERSION,
        "layout": layout,
        "picture_format": options.picture_format,
        "dataset": images.name,
        "split": split,
        "images": len(images),
        "height": height,
        "width": width,
        "classes": list(images.classes),
        "severities": list(options.severities),
        "seed": options.seed,
        "table": chosen.name,
        "table_note": chosen.note(height, width),
        "frost": frost,
        "clean_sha256": clean.hexdigest(),
        "versions": {
            "rwsstore": __version__,
            "numpy": np.__version__,
            "pillow": PIL.__version__,
            "torch": torch.__version__.partition("+")[0],
        },
        _GROWS: list(options.corruptions),
    }


def _claim(folder: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """Write the manifest, or add corruptions to one that agrees; give what it says now."""
    path = folder / MANIFEST
    if files.OS_FILES.is_file(path):
        try:
            found: dict[str, Any] = json.loads(
                files.read_bounded(path, limit=_LIMIT, what="manifest")
            )
        except ValueError as error:
            raise FormatError(f"{path} is no manifest: {error}") from error
        names = found.get(_GROWS) if isinstance(found, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise FormatError(f"{path} is no manifest: it has no list of corruptions")
        for key in [*wanted, *found]:
            if key != _GROWS and found.get(key) != wanted.get(key):
                raise ConfigError(
                    f"{folder} was made with {key} {_short(found.get(key))}, now it is "
                    f"{_short(wanted.get(key))}; choose another folder, or the same parameters"
                )
        names = list(dict.fromkeys([*found[_GROWS], *wanted[_GROWS]]))
        if names == found[_GROWS]:
            return found
        wanted = {**wanted, _GROWS: names}
    else:
        others = [name for name in files.OS_FILES.names(folder) if not name.startswith(".")]
        if others:
            raise ConfigError(
                f"{folder} holds {others[0]} and no {MANIFEST}; choose an empty or a new folder"
            )
    files.write_atomic(path, (json.dumps(wanted, indent=2, allow_nan=False) + "\n").encode())
    return wanted


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


@dataclass(frozen=True)
class ExportReport:
    """What an export did.

    Attributes:
        manifest: what was written down in the folder.
        written: files or folders that were made, relative to it; `kept`: were complete already.
        unchanged: corruption, severity and the number of images that came out as they went in, of
            what was written now.
    """

    manifest: dict[str, Any]
    written: tuple[str, ...]
    kept: tuple[str, ...]
    unchanged: tuple[tuple[str, float, int], ...]

    def to_dict(self) -> dict[str, Any]:
        """As a JSON document."""
        return {
            "manifest": self.manifest,
            "written": list(self.written),
            "kept": list(self.kept),
            "unchanged": [
                {"corruption": name, "severity": severity, "images": count}
                for name, severity, count in self.unchanged
            ],
        }


LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {row.name: row for row in (CifarC(), ImageFolder())}
)

_LOCK = ".rws-corrupt.lock"


def export_corrupted(
    images: ImageSet,
    folder: Path,
    options: ExportOptions,
    *,
    layout: str = "cifar-c",
    split: Split = "test",
    indices: Sequence[int] | None = None,
    workers: int = 1,
    progress: Reporter = SILENT,
) -> ExportReport:
    """Write every corruption of a data set at every severity into a folder.

    Each file or folder that holds a corruption appears when it is complete. What is there already
    is left alone, so an interrupted export goes on where it was when the same call is made again,
    and further corruptions may be added to a folder later. Beside the images, memory holds one
    piece of some 16 MiB at a time.

    Args:
        images: clean.
        folder: made where it is missing; else empty, or holding the same copy begun earlier.
        options: which corruptions, and how.
        layout: a name in `LAYOUTS`.
        split: of the data set that the images are from; written down.
        indices: each image's index in its data set, rising; 0 … N - 1 by default.
        workers: threads that corrupt side by side. Leave torch one thread then
            (`torch.set_num_threads(1)`), or they get in each other's way.
        progress: told of every image.

    Raises:
        UnknownNameError: no such layout.
        ConfigError: the folder holds something else or a copy made otherwise, the indices do not
            fit the images, there is no worker, or a class's name cannot name a folder.
        ConflictError: another process is writing there.
        MissingFileError, DataError: the frost photographs cannot be had.
        StorageFullError, ReadOnlyError, StoreError: the files could not be written.
    """
    if workers < 1:
        raise ConfigError(f"{workers} workers; expected at least 1")
    if layout not in LAYOUTS:
        raise UnknownNameError("layout", layout, LAYOUTS)
    count, overlays = len(images), options.frost_overlays
    if indices is None:
        indices = range(count)
    elif (
        len(indices) != count
        or indices[0] < 0
        or any(first >= second for first, second in pairwise(indices))
    ):
        raise ConfigError(f"{len(indices)} indices for {count} images; expected one each, rising")
    frost = None if overlays is None else corruptions.load_frost_overlays(overlays)
    job = ExportJob(images, indices, options, folder, frost, workers)
    parts = LAYOUTS[layout].parts(job)
    manifest = _manifest(job, layout, split)
    files.make_folders(folder)
    with _alone(folder):
        manifest = _claim(folder, manifest)
        with warnings.catch_warnings():  # unchanged images are counted instead
            warnings.simplefilter("ignore", corruptions.UnchangedWarning)
            written, kept = _write(job, LAYOUTS[layout], parts, progress)
    unchanged = tuple((name, at, count) for (name, at), count in job.unchanged.items())
    return ExportReport(manifest, tuple(written), tuple(kept), unchanged)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        with files.OS_FILES.lock(folder / _LOCK, 0):
            yield
    except TimeoutError:
        raise ConflictError(f"another process is writing into {folder}; wait for it") from None


def _write(
    job: ExportJob, layout: Layout, parts: Sequence[ExportPart], progress: Reporter
) -> tuple[list[str], list[str]]:
    """Write what is missing; names of what was written, and of what was there."""
    for place in {job.folder, *(part.path.parent for part in parts)}:
        if place.is_dir():  # a run that was killed may have left something half-made
            files.remove_temporaries(place)
    missing = [part for part in parts if not part.path.exists()]
    total = len(job.images) * sum(len(part.severities) for part in missing)
    layout.write_common(job)
    with progress.task("corrupting", total=total) as task:
        for part in missing:
            layout.write(job, part, task)
    written = [str(part.path.relative_to(job.folder)) for part in missing]
    kept = [str(p.path.relative_to(job.folder)) for p in parts if p not in missing]
    return written, kept
