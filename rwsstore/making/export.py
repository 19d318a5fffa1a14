"""Writing a corrupted copy of a data set, and going on with one that was interrupted."""

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import PIL
import torch

import rwsstore
from rwsstore.corruptions import (
    UnchangedWarning,
    frost_source,
    load_frost_overlays,
    severity_table,
    table_for,
)
from rwsstore.data import ImageSet, Split
from rwsstore.errors import ConfigError, ConflictError, FormatError, UnknownNameError
from rwsstore.files import OS_FILES, make_folders, read_bounded, remove_temporaries, write_atomic
from rwsstore.making.layouts import CifarC, ExportJob, ExportOptions, ImageFolder, Layout
from rwsstore.progress import SILENT, Reporter

MANIFEST = "rws-corrupt.json"
"""The manifest's name."""

_VERSION = 1
_LIMIT = 2**20
# What may differ between a run and the one that goes on with it.
_GROWS = "corruptions"


def manifest_of(job: ExportJob, layout: str, split: str) -> dict[str, Any]:
    """Describe everything that the corrupted images follow from."""
    height, width = job.images.images.shape[2:]
    table = job.options.table
    chosen = table_for(height, width) if table is None else severity_table(table)
    return {
        "version": _VERSION,
        "layout": layout,
        "picture_format": job.options.picture_format,
        "dataset": job.images.name,
        "split": split,
        "images": len(job.images),
        "height": height,
        "width": width,
        "classes": list(job.images.classes),
        "severities": list(job.options.severities),
        "seed": job.options.seed,
        "table": chosen.name,
        "table_note": chosen.note(height, width),
        "frost": _frost(job),
        "clean_sha256": _digest(job),
        "versions": {
            "rwsstore": rwsstore.__version__,
            "numpy": np.__version__,
            "pillow": PIL.__version__,
            "torch": torch.__version__.partition("+")[0],
        },
        _GROWS: list(job.options.corruptions),
    }


def _digest(job: ExportJob) -> str:
    """Hash the clean images with their labels and indices."""
    digest = hashlib.sha256()
    for start in range(0, len(job.images), job.piece):
        digest.update(job.images.images[start : start + job.piece].contiguous().numpy().data)
    digest.update(job.images.labels.numpy().tobytes())
    digest.update(np.array(job.indices, dtype="<i8").tobytes())
    return digest.hexdigest()


def _frost(job: ExportJob) -> str:
    source = frost_source(job.options.frost_overlays)
    if not job.overlays:
        return source
    digest = hashlib.sha256()
    for overlay in job.overlays:
        digest.update(repr(list(overlay.shape)).encode("ascii"))
        digest.update(overlay.contiguous().numpy().data)
    return f"{source}, SHA-256 {digest.hexdigest()}"


def claim(folder: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """Write the manifest, or see that the one in the folder agrees and add corruptions to it.

    Returns:
        What the manifest says now.

    Raises:
        ConfigError: the folder holds something else, or a copy made otherwise.
        FormatError: its manifest cannot be read.
    """
    path = folder / MANIFEST
    if OS_FILES.is_file(path):
        found = _read(path)
        _compare(folder, found, wanted)
        names = list(dict.fromkeys([*found[_GROWS], *wanted[_GROWS]]))
        if names == found[_GROWS]:
            return found
        wanted = {**wanted, _GROWS: names}
    else:
        others = [name for name in OS_FILES.names(folder) if not name.startswith(".")]
        if others:
            raise ConfigError(
                f"{folder} holds {others[0]} and no {MANIFEST}; choose an empty or a new folder"
            )
    write_atomic(path, (json.dumps(wanted, indent=2, allow_nan=False) + "\n").encode())
    return wanted


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(read_bounded(path, limit=_LIMIT, what="manifest"))
    except ValueError as error:
        raise FormatError(f"{path} is no manifest: {error}") from error
    names = found.get(_GROWS) if isinstance(found, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise FormatError(f"{path} is no manifest: it has no list of corruptions")
    return found


def _compare(folder: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    for key in [*wanted, *found]:
        if key != _GROWS and found.get(key) != wanted.get(key):
            raise ConfigError(
                f"{folder} was made with {key} {_short(found.get(key))}, now it is "
                f"{_short(wanted.get(key))}; choose another folder, or the same parameters"
            )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


@dataclass(frozen=True)
class ExportReport:
    """What an export did.

    Attributes:
        manifest: what was written down in the folder.
        written: files or folders that were made, relative to the folder.
        kept: that were complete already.
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
    job = ExportJob(
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


def _write(job: ExportJob, layout: Layout, progress: Reporter) -> tuple[list[str], list[str]]:
    parts = tuple(layout.parts(job))
    for place in {job.folder, *(part.path.parent for part in parts)}:
        if place.is_dir():  # a run that was killed may have left something half-made
            remove_temporaries(place)
    missing = [part for part in parts if not part.path.exists()]
    total = len(job.images) * sum(len(part.severities) for part in missing)
    layout.write_common(job)
    with progress.task("corrupting", total=total) as task:
        for part in missing:
            layout.write(job, part, task)
    written = [str(part.path.relative_to(job.folder)) for part in missing]
    kept = [str(p.path.relative_to(job.folder)) for p in parts if p not in missing]
    return written, kept


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
