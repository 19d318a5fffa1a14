"""A work folder belongs to one configuration and one set of images."""

__all__ = ["claim_folder"]

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rwsstore.canonical import canonical_json, first_difference
from rwsstore.errors import ConfigError, FormatError
from rwsstore.files import make_folders, read_bounded, write_atomic

_NAME = "run.json"
_LIMIT = 2**20


def claim_folder(folder: Path, run: Mapping[str, Any]) -> None:
    """Mark a folder as this run's, or see that it is.

    Args:
        folder: made where it does not exist.
        run: JSON values that define the run.

    Raises:
        ConfigError: the folder is another run's; the first difference is named.
        FormatError: the mark is damaged.
        StoreError: it could not be written.
    """
    path, wanted = folder / _NAME, json.loads(canonical_json(run))
    if not path.exists():
        make_folders(folder)
        write_atomic(path, (canonical_json(wanted) + "\n").encode())
        return
    try:
        found = json.loads(read_bounded(path, limit=_LIMIT, what=str(path)))
    except ValueError:
        raise FormatError(f"{path} is damaged: delete the folder to start again") from None
    difference = first_difference(found, wanted)
    if difference is not None:
        raise ConfigError(
            f"{folder} belongs to another run: {difference}. Nothing was changed; give this run "
            "another folder, or delete that one to start again"
        )
