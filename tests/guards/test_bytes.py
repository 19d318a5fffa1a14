"""The bundled model, its store and the golden patches are the same bytes."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from tests.guards.faces import bundled_folder
from tests.guards.frozen_files import read

_GOLDEN = Path(__file__).parents[1] / "patches" / "golden"


def surface() -> dict[str, str]:
    """SHA-256 of each file, by its path in the folder."""
    return dict([*_hashes("bundled", bundled_folder()), *_hashes("golden", _GOLDEN)])


def _hashes(name: str, folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            inside = path.relative_to(folder).as_posix()
            yield f"{name}/{inside}", hashlib.sha256(path.read_bytes()).hexdigest()


def test_no_byte_has_changed() -> None:
    assert surface() == read("bytes")
