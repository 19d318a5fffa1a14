"""How many threads a lane computes with, and on which cores."""

__all__ = ["LaneCores", "lane_count", "set_own_threads"]

import logging
import os
from collections.abc import Callable, Iterable, Sequence

import torch

_log = logging.getLogger(__name__)

_USUAL_LANES = 2


def lane_count(wanted: int | None, *, threads: int, batching: bool) -> int:
    """Say how many lanes compute: never more than threads, and one where nothing is batched.

    Args:
        wanted: by the operator; 2 if None.
        threads: that compute.
        batching: whether requests that wait are computed together.
    """
    return min(wanted or _USUAL_LANES, threads) if batching else 1


def set_own_threads(count: int) -> None:
    """Let the calling thread compute with so many OpenMP threads, whatever others set.

    Each thread has a count of its own, but takes it only when it first needs it: it is then what
    whichever thread set last. So a thread that computes much calls this at its start (the lanes,
    the thread that makes changes, the one that starts the service), and is not touched by others
    afterwards. Threads that do not call it, those that read images and files, begin with what was
    set last; they compute nothing that is worth a second thread.
    """
    torch.get_num_threads()  # takes its count now: else torch.set_num_threads would not last
    torch.set_num_threads(count)


class LaneCores:
    """Gives a lane all threads while it is alone, and its share while others compute too.

    A lane whose share is one thread is pinned to a core of its own then, for the kernel leaves two
    lanes on one core for long. It is unpinned before it gets more threads: OpenMP's workers may run
    where the thread that starts them may. A larger share is never pinned, since its workers are
    kept for when the lane has all.

    Args:
        threads: when it is alone.
        share: when it is not.
        core: that it is pinned to with its share; None for none.
        cores: that it may run on else.
        set_threads: sets how many threads the calling thread computes with.
        set_cores: sets which cores the calling thread may run on.
    """

    def __init__(
        self,
        threads: int,
        share: int,
        core: int | None,
        cores: Iterable[int],
        *,
        set_threads: Callable[[int], None],
        set_cores: Callable[[Iterable[int]], None],
    ) -> None:
        self._threads, self._share = threads, share
        self._core, self._cores = core, frozenset(cores)
        self._set_threads, self._set_cores = set_threads, set_cores
        self._count = 0  # what it has is not known before it was set

    def use(self, wide: bool) -> None:
        """Take all threads, or the share; to be called in the lane's own thread."""
        count = self._threads if wide else self._share
        if count == self._count:
            return
        if wide and self._count:
            self._pin(self._cores)
        self._set_threads(count)
        if not wide and self._core is not None:
            self._pin({self._core})
        self._count = count

    def _pin(self, cores: Iterable[int]) -> None:
        if self._core is None:
            return
        try:
            self._set_cores(cores)
        except OSError as error:
            _log.debug("a lane cannot choose its cores, and runs where it may: %s", error)
            self._core = None

    @classmethod
    def of_lanes(
        cls,
        lanes: int,
        threads: int,
        *,
        cores: Sequence[int] | None = None,
        set_threads: Callable[[int], None] = set_own_threads,
        set_cores: Callable[[Iterable[int]], None] | None = None,
    ) -> "tuple[LaneCores, ...]":
        """Share the threads out among lanes.

        Cores are shared out too where there are as many as threads. Where a cgroup's quota or the
        operator allows fewer threads, they are left to the kernel: other processes have the rest.

        Args:
            lanes: how many; not more than threads.
            threads: of all of them together.
            cores: that this process may run on; asked of the system if None.
            set_threads: sets how many threads the calling thread computes with.
            set_cores: sets which cores the calling thread may run on; the system's if None.
        """
        own = _process_cores() if cores is None else sorted(cores)
        share = threads // lanes
        pinned = lanes > 1 and share == 1 and threads == len(own)
        return tuple(
            cls(
                threads,
                share,
                own[lane] if pinned else None,
                own,
                set_threads=set_threads,
                set_cores=_set_cores if set_cores is None else set_cores,
            )
            for lane in range(lanes)
        )


def _process_cores() -> list[int]:
    """The cores that this process may run on; none where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _set_cores(cores: Iterable[int]) -> None:
    os.sched_setaffinity(0, cores)  # 0: the calling thread
