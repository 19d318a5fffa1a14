"""The manifest of a corrupted copy: what it was made from, so that it can be gone on with."""

__all__ = ["MANIFEST", "claim", "manifest_of"]

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from torch import Tensor

import rwsstore
from rwsstore.corruptions import frost_source, severity_table, table_for
from rwsstore.errors import ConfigError, FormatError
from rwsstore.export.job import Job
from rwsstore.files import OS_FILES, read_bounded, write_atomic

MANIFEST = "rws-corrupt.json"
"""The manifest's name."""

_VERSION = 1
_LIMIT = 2**20
# What may differ between a run and the one that goes on with it.
_GROWS = "corruptions"


def manifest_of(job: Job, layout: str, split: str) -> dict[str, Any]:
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


def _digest(job: Job) -> str:
    """Hash the clean images with their labels and indices."""
    digest = hashlib.sha256()
    for start in range(0, len(job.images), job.piece):
        digest.update(job.images.images[start : start + job.piece].contiguous().numpy().data)
    digest.update(job.images.labels.numpy().tobytes())
    digest.update(np.array(job.indices, dtype="<i8").tobytes())
    return digest.hexdigest()


def _frost(job: Job) -> str:
    source = frost_source(job.options.frost_overlays)
    return f"{source}, SHA-256 {_overlays_digest(job.overlays)}" if job.overlays else source


def _overlays_digest(overlays: Sequence[Tensor]) -> str:
    digest = hashlib.sha256()
    for overlay in overlays:
        digest.update(repr(list(overlay.shape)).encode("ascii"))
        digest.update(overlay.contiguous().numpy().data)
    return digest.hexdigest()


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
