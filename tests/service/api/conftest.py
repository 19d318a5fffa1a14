"""One app for the tests of a file that leave it as they found it."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.service.answering import started


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """For tests that change nothing."""
    with started(tmp_path_factory.mktemp("reading")) as client:
        yield client
