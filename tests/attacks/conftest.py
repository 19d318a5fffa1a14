"""What the tests of attacks share."""

import pytest

from tests.attacks.making import Trained, trained


@pytest.fixture(scope="session")
def digits() -> Trained:
    return trained()
