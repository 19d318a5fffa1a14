"""Which machine a figure comes from."""

__all__ = ["Machine", "this_machine"]

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import torch

from rwsstore import __version__
from rwsstore.speed.floors import has_bf16

_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Machine:
    """What a reader of figures wants to know of where they were measured.

    Attributes:
        processor: as it calls itself.
        cores: that the machine has.
        threads: that torch computes with.
        instructions: the widest vectors that torch makes use of ("AVX512").
        bf16: whether the processor computes in bfloat16.
        torch: its version.
        rwsstore: ours.
    """

    processor: str
    cores: int
    threads: int
    instructions: str
    bf16: bool
    torch: str
    rwsstore: str


def this_machine(*, cpuinfo: Path = _CPUINFO) -> Machine:
    """Describe the machine that this runs on, and torch as it is set up now.

    Args:
        cpuinfo: where Linux tells the processor's name.
    """
    return Machine(
        processor=_processor(cpuinfo),
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        instructions=torch.backends.cpu.get_cpu_capability(),
        bf16=has_bf16(),
        torch=torch.__version__,
        rwsstore=__version__,
    )


def _processor(cpuinfo: Path) -> str:
    try:
        lines = cpuinfo.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(filter(None, named), "") or platform.processor() or platform.machine()
