"""What holds for every test."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

from tests import forks

# Hypothesis' own deadline is a wall-clock limit; how long an example takes says nothing here.
settings.register_profile("rwsstore", deadline=None)
settings.load_profile("rwsstore")


@pytest.fixture(autouse=True, scope="session")
def one_thread_at_first() -> None:
    """More threads only slow these small tensors down, a lot where a quota is smaller."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def one_thread(one_thread_at_first: None) -> None:
    """Before every test again, for a command sets the number of threads for its process."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def forks_end() -> Iterator[None]:
    """The process that forks `rws` ends with the session that started it."""
    yield
    if forks.server.cache_info().currsize:
        forks.server().stop()
