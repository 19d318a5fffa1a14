"""What holds for every test."""

import pytest
import torch
from hypothesis import settings

# Hypothesis' own deadline is a wall-clock limit; how long an example takes says nothing here.
settings.register_profile("rwsstore", deadline=None)
settings.load_profile("rwsstore")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """More threads only slow these small tensors down, a lot where a quota is smaller.

    Before every test, for a command sets the number of threads for its process.
    """
    torch.set_num_threads(1)
