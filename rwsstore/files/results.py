"""Numbers that were measured, on disk, so that nothing is measured twice."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rwsstore.canonical import canonical_json, first_difference
from rwsstore.errors import ConfigError, FormatError
from rwsstore.files.atomic import make_folders, read_bounded, write_atomic

_LIMIT = 2**26


class Results:
    """A long run's numbers by key, in one JSON file that is written after each of them.

    Args:
        path: of the file; made with the first number. None: they are kept in memory alone.
        identity: JSON values that the numbers depend on: settings, model, patches, images.

    Raises:
        ConfigError: the file holds the numbers of another model, of other images or settings; the
            first difference is named, and nothing is changed.
        FormatError: it is no such file.
    """

    def __init__(self, path: Path | None, identity: Mapping[str, Any]) -> None:
        self._path, self._identity = path, json.loads(canonical_json(identity))
        self._kept: dict[str, Any] = {}
        if path is not None and path.exists():
            self._kept = self._read(path)

    def __contains__(self, key: str) -> bool:
        return key in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def __bool__(self) -> bool:
        return True  # an empty one is one all the same

    def number(self, key: str, measure: Callable[[], float]) -> float:
        """The number of this key, measured if it was not before; as `value`."""
        return float(self.value(key, lambda: float(measure())))

    def value(self, key: str, measure: Callable[[], Any]) -> Any:
        """The JSON value of this key, made if it was not before: numbers, lists, objects of them.

        Raises:
            ConfigError: a number in what was made is not finite.
        """
        if key not in self._kept:
            found = measure()
            try:
                text = json.dumps(found, allow_nan=False)
            except ValueError:
                raise ConfigError(f"{key} came out as {found}: nothing was written") from None
            kept = {**self._kept, key: json.loads(text)}
            if self._path is not None:
                document = {"identity": self._identity, "numbers": kept}
                make_folders(self._path.parent)
                text = json.dumps(document, indent=1, sort_keys=True, allow_nan=False)
                write_atomic(self._path, (text + "\n").encode())
            self._kept = kept
        return self._kept[key]

    def forget(self) -> None:
        """Delete the file: the run is finished."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _read(self, path: Path) -> dict[str, Any]:
        data = read_bounded(path, limit=_LIMIT, what="results")
        try:
            document = json.loads(data)
            identity, kept = document["identity"], dict(document["numbers"])
        except (ValueError, TypeError, KeyError):
            raise FormatError(f"{path} holds no results: delete it") from None
        difference = first_difference(identity, self._identity)
        if difference is not None:
            raise ConfigError(
                f"{path} belongs to another run: {difference}. Nothing was changed; give this "
                "run another folder (--work), or delete that file to start again"
            )
        return kept
