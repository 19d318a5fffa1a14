"""Numbers that were measured, on disk, so that nothing is measured twice."""

__all__ = ["Results"]

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rwsstore.canonical import canonical_json, first_difference
from rwsstore.errors import ConfigError, FormatError
from rwsstore.files import make_folders, read_bounded, write_atomic

_LIMIT = 2**26


class Results:
    """A study's numbers by key, in one JSON file that is written after each of them.

    Args:
        path: of the file; made with the first number.
        identity: JSON values that the numbers depend on: settings, model, patches, images.

    Raises:
        ConfigError: the file holds the numbers of another model, of other images or settings; the
            first difference is named, and nothing is changed.
        FormatError: it is no such file.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self._path, self._identity = path, json.loads(canonical_json(identity))
        self._numbers: dict[str, float] = self._read() if path.exists() else {}

    def __contains__(self, key: str) -> bool:
        return key in self._numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, key: str, measure: Callable[[], float]) -> float:
        """The number of this key, measured if it was not before.

        Raises:
            ConfigError: what was measured is not finite.
        """
        if key not in self._numbers:
            found = float(measure())
            if not math.isfinite(found):
                raise ConfigError(f"{key} came out as {found}: nothing was written")
            self._write({**self._numbers, key: found})
        return self._numbers[key]

    def _write(self, numbers: dict[str, float]) -> None:
        document = {"identity": self._identity, "numbers": numbers}
        make_folders(self._path.parent)
        text = json.dumps(document, indent=1, sort_keys=True, allow_nan=False)
        write_atomic(self._path, (text + "\n").encode())
        self._numbers = numbers

    def _read(self) -> dict[str, float]:
        data = read_bounded(self._path, limit=_LIMIT, what="results")
        try:
            document = json.loads(data)
            identity, numbers = document["identity"], document["numbers"]
            values = {str(key): float(value) for key, value in numbers.items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            raise FormatError(f"{self._path} holds no results: delete it") from None
        difference = first_difference(identity, self._identity)
        if difference is not None:
            raise ConfigError(
                f"{self._path} belongs to another run: {difference}. Nothing was changed; give "
                "this run another folder (--work), or delete that file to start again"
            )
        return values
