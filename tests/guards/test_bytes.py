"""The bundled model, its store and the golden patches are the same bytes."""

import hashlib
from pathlib import Path

from tests.guards.faces import bundled_folder
from tests.guards.frozen_files import read

_GOLDEN = Path(__file__).parents[1] / "patches" / "golden"


def surface() -> dict[str, dict[str, str]]:
    """SHA-256 of each file, by its path in the folder."""
    return {"bundled": _hashes(bundled_folder()), "golden": _hashes(_GOLDEN)}


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_no_byte_has_changed() -> None:
    assert surface() == read("bytes")
