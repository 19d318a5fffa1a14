"""Keeping the memory of temporary tensors, which else goes back to the system all the time."""

__all__ = ["keep_freed_memory"]

from functools import lru_cache

import torch

_BYTES = 31 << 20


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """Let glibc's allocator keep up to 64 MB of what is freed, once a process.

    Glibc asks the system for every block above a threshold of 128 kB and gives it back when it is
    freed, so that each temporary tensor costs a page fault for every 4 kB, often more than the
    arithmetic on it. It raises its threshold to the size of a block that it has seen freed, at
    most 32 MB. So one such block is taken and freed; its pages are never touched. Other allocators
    take no notice.
    """
    torch.empty(_BYTES, dtype=torch.uint8)
