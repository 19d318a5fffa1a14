"""A host of a tiny model, with patches."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.engine.hosting import House, stock


@pytest.fixture(scope="session")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stock(tmp_path_factory.mktemp("stock") / "store")


@pytest.fixture
def house(tmp_path: Path, stocked: Path) -> Iterator[House]:
    made = House.of(tmp_path, stocked)
    yield made
    made.close()
