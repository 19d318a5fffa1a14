"""What this machine is good at: how many threads it gives us, and which arithmetic is fast.

Torch counts the host's cores; a container may own a fraction of them, and threads beyond the
quota make everything several times slower. bf16 with channels_last is two to three times faster
on CPUs that support it and far slower on those that do not, so it is measured, not guessed.
"""

import copy
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TypeVar

import torch
from torch import Tensor, nn

from rwsstore.errors import ConfigError

_ROOT = Path("/")
_MOUNTS_V1 = ("sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct")
_MOUNTS_V2 = ("sys/fs/cgroup", "sys/fs/cgroup/unified")


def thread_count(*, root: Path = _ROOT, affinity: int | None = None) -> int:
    """Say how many threads to compute with: whole cores within quota and affinity, at least 1.

    Args:
        root: where /proc and /sys are looked for.
        affinity: number of cores that this process may run on; asked of the system by default.
    """
    cores = affinity
    if cores is None:
        own = hasattr(os, "sched_getaffinity")
        cores = len(os.sched_getaffinity(0)) if own else os.cpu_count() or 1
    quota = cpu_quota(root=root)
    return max(1, math.floor(cores if quota is None else min(quota, cores)))


def cpu_quota(*, root: Path = _ROOT) -> float | None:
    """Read the cgroup's limit on CPU time, in cores; None where there is none.

    Versions 1 and 2 are read, and every ancestor's limit counts. Files that are absent,
    unreadable or malformed count as no limit.

    Args:
        root: where /proc and /sys are looked for.
    """
    quotas = []
    for folder in _folders(root, "", _MOUNTS_V2):
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        quotas.append(_cores(quota, period))
    for folder in _folders(root, "cpu", _MOUNTS_V1):
        quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        quotas.append(_cores(quota, period))
    return min((quota for quota in quotas if quota is not None), default=None)


def _folders(root: Path, controller: str, mounts: Sequence[str]) -> Iterator[Path]:
    """At each mount, the folder of this process's cgroup and those of its ancestors.

    The controller is one of version 1, or "" for the one hierarchy of version 2.
    """
    parts: Sequence[str] = ()
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        # A path with ".." lies outside our namespace; only the mount itself can be seen.
        if controller in controllers.split(",") and ".." not in PurePosixPath(path).parts:
            parts = PurePosixPath(path).parts[1:]
            break
    for mount in mounts:
        for depth in range(len(parts), -1, -1):
            yield root.joinpath(mount, *parts[:depth])


def _cores(quota: str, period: str) -> float | None:
    """Divide two counts of microseconds; "max", "-1" and anything malformed is no limit."""
    if not (quota.isdecimal() and period.isdecimal()) or int(quota) == 0 or int(period) == 0:
        return None
    return int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


_Placed = TypeVar("_Placed", nn.Module, Tensor)


@dataclass(frozen=True)
class ComputeMode:
    """How a model is computed; results differ within rounding, never in meaning.

    Attributes:
        bf16: run under bfloat16 autocast.
        channels_last: keep images and convolution weights with the channels innermost.
    """

    bf16: bool = False
    channels_last: bool = False

    def autocast(self, device_type: str = "cpu") -> AbstractContextManager[object]:
        """Open the context in which the model is to be called; it does nothing without bf16."""
        return torch.autocast(device_type, dtype=torch.bfloat16, enabled=self.bf16)

    def prepare(self, item: _Placed) -> _Placed:
        """Lay a model (in place) or a batch [B, C, H, W] (as a copy) out as this mode wants it."""
        if not self.channels_last:
            return item
        # torch's stub leaves this documented overload of Module.to out.
        return item.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


PLAIN = ComputeMode()
"""float32 and the usual layout: right everywhere, and what the others are measured against."""

_CANDIDATES = (
    PLAIN,
    ComputeMode(channels_last=True),
    ComputeMode(bf16=True),
    ComputeMode(bf16=True, channels_last=True),
)


def probe(
    model: nn.Module | Callable[[Tensor], Tensor],
    example: Tensor,
    *,
    repeats: int = 3,
    clock: Callable[[], float] = time.perf_counter,
) -> ComputeMode:
    """Measure which mode is fastest here, with a few steps of each.

    A step is a forward pass and, where anything requires a gradient, a backward pass. A module is
    copied first, so its weights, gradients, statistics and layout stay; so do torch's global
    random numbers. Nothing depends on the answer but time.

    Args:
        model: takes `example` and returns one tensor; called in the mode (training or
            evaluation) that it is in.
        example: a batch of the size that will be used, [B, C, H, W], on the model's device.
        repeats: timed steps for each mode, after one that is not; at least 1.
        clock: seconds, ever rising.

    Returns:
        The fastest mode; the plain one unless another is clearly faster. A mode that the model
        cannot be computed in is passed over.

    Raises:
        ConfigError: `repeats` is below 1.
    """
    if repeats < 1:
        raise ConfigError(f"{repeats} repeats were asked for; at least 1 is needed")
    devices = [] if example.device.type == "cpu" else [example.device]
    runs: dict[ComputeMode, Callable[[], None]] = {}
    with torch.random.fork_rng(devices=devices, device_type="cuda"):
        for mode in _CANDIDATES:
            placed = mode.prepare(copy.deepcopy(model)) if isinstance(model, nn.Module) else model
            run = partial(_step, placed, mode.prepare(example), mode)
            try:
                run()  # the first step builds kernels and allocates
            except RuntimeError:  # an operation without this dtype or layout
                if mode == PLAIN:
                    raise
                continue
            runs[mode] = run
        return quickest(time_in_turns(runs, repeats=repeats, clock=clock), PLAIN)


def _step(model: nn.Module | Callable[[Tensor], Tensor], images: Tensor, mode: ComputeMode) -> None:
    with mode.autocast(images.device.type):
        output = model(images)
    if output.requires_grad:
        output.float().square().mean().backward()
    if isinstance(model, nn.Module):
        model.zero_grad()  # the copies are held side by side
    if images.device.type == "cuda":
        torch.cuda.synchronize(images.device)


# Another way must beat the plain one by this factor, so that noise does not decide.
_WORTHWHILE = 1.1
# A first turn slower than the quickest by this factor settles it: on a CPU without bf16 each is
# torture.
_HOPELESS = 2.0

_Way = TypeVar("_Way")


def time_in_turns(
    runs: Mapping[_Way, Callable[[], object]], *, repeats: int, clock: Callable[[], float]
) -> dict[_Way, float]:
    """Time several ways to compute one thing, turn by turn, so that a busy moment hits all.

    Args:
        runs: at least one; each has run once already.
        repeats: turns. Who takes over twice as long as the quickest in the first has no other.
        clock: seconds, ever rising.

    Returns:
        Each one's median, in seconds.
    """
    times = {way: [_seconds(run, clock)] for way, run in runs.items()}
    longest = _HOPELESS * min(first for (first,) in times.values())
    for _ in range(repeats - 1):
        for way, run in runs.items():
            if times[way][0] <= longest:
                times[way].append(_seconds(run, clock))
    return {way: statistics.median(found) for way, found in times.items()}


def _seconds(run: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    run()
    return clock() - start


def quickest(medians: Mapping[_Way, float], plain: _Way) -> _Way:
    """Choose the way with the least median; of equals the first.

    The plain one wins unless another is more than a tenth faster, so that noise does not decide.
    """
    best = min(medians, key=lambda way: medians[way])
    if plain in medians and medians[plain] <= _WORTHWHILE * medians[best]:
        return plain
    return best
