"""Writing a corrupted copy of a data set, and going on with one that was interrupted."""

__all__ = ["LAYOUTS", "export_corrupted"]

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

from rwsstore.corruptions import UnchangedWarning, load_frost_overlays
from rwsstore.data import ImageSet, Split
from rwsstore.errors import ConfigError, ConflictError, UnknownNameError
from rwsstore.export.cifar_c import CifarC
from rwsstore.export.image_folder import ImageFolder
from rwsstore.export.job import Job
from rwsstore.export.layout import Layout, Part
from rwsstore.export.manifest import claim, manifest_of
from rwsstore.export.options import ExportOptions
from rwsstore.export.report import ExportReport
from rwsstore.files import OS_FILES, make_folders, remove_temporaries
from rwsstore.progress import SILENT, Reporter

_ROWS: tuple[Layout, ...] = (CifarC(), ImageFolder())

LAYOUTS: Mapping[str, Layout] = MappingProxyType({row.name: row for row in _ROWS})
"""Layouts by name."""

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
        workers: threads that corrupt side by side. torch's own threads come on top: with several
            workers, leave it one (`torch.set_num_threads(1)`), or they get in each other's way.
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
    place = LAYOUTS[layout]
    overlays = options.frost_overlays
    job = Job(
        images,
        _checked(indices, len(images)),
        options,
        folder,
        None if overlays is None else load_frost_overlays(overlays),
        workers,
    )
    place.prepare(job)
    manifest = manifest_of(job, layout, split)
    make_folders(folder)
    with _alone(folder):
        manifest = claim(folder, manifest)
        with warnings.catch_warnings():  # unchanged images are counted instead
            warnings.simplefilter("ignore", UnchangedWarning)
            written, kept = _write(job, place, progress)
    unchanged = tuple((name, at, count) for (name, at), count in job.unchanged.items())
    return ExportReport(manifest, tuple(written), tuple(kept), unchanged)


def _write(job: Job, layout: Layout, progress: Reporter) -> tuple[list[str], list[str]]:
    parts = tuple(layout.parts(job))
    _sweep(job.folder, parts)
    missing = [part for part in parts if not part.path.exists()]
    total = len(job.images) * sum(len(part.severities) for part in missing)
    layout.write_common(job)
    with progress.task("corrupting", total=total) as task:
        for part in missing:
            layout.write(job, part, task)
    written = [str(part.path.relative_to(job.folder)) for part in missing]
    kept = [str(p.path.relative_to(job.folder)) for p in parts if p not in missing]
    return written, kept


def _sweep(folder: Path, parts: Sequence[Part]) -> None:
    """Remove what a run that was killed left half-made."""
    for place in {folder, *(part.path.parent for part in parts)}:
        if place.is_dir():
            remove_temporaries(place)


def _checked(indices: Sequence[int] | None, count: int) -> Sequence[int]:
    if indices is None:
        return range(count)
    rises = all(first < second for first, second in pairwise(indices))
    if len(indices) != count or not rises or indices[0] < 0:
        raise ConfigError(f"{len(indices)} indices for {count} images; expected one each, rising")
    return indices


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        with OS_FILES.lock(folder / _LOCK, 0):
            yield
    except TimeoutError:
        raise ConflictError(f"another process is writing into {folder}; wait for it") from None
