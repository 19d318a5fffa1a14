from pathlib import Path

import pytest

from rwsstore.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store on the real file system, not created yet."""
    return Store(tmp_path / "store")
