"""An app behind the middleware, and the lines that it logs."""

import logging
from collections.abc import Iterator

import pytest

from tests.service.wire.watched import Watched, watched


@pytest.fixture
def box() -> Watched:
    return watched()


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[logging.LogRecord]]:
    kept, logger = _Kept(), logging.getLogger("rwsstore_service")
    logger.addHandler(kept)
    with caplog.at_level(logging.DEBUG, logger="rwsstore_service"):
        yield kept.records
    logger.removeHandler(kept)
