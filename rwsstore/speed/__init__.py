"""How fast a model and its patches are on this machine, and how far from what it could do."""

__all__ = [
    "BenchReport",
    "Floors",
    "Machine",
    "MemoryUse",
    "Pairs",
    "Ratio",
    "Subject",
    "bench",
    "bench_tables",
    "compare",
    "count_flops",
    "find_floors",
    "inner_for",
    "measure_memory",
    "random_images",
    "random_patches",
    "repeats_within",
    "this_machine",
    "time_pairs",
    "timings",
]

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.speed.benching import Subject, bench
    from rwsstore.speed.measuring import (
        Floors,
        Pairs,
        Ratio,
        compare,
        count_flops,
        find_floors,
        inner_for,
        repeats_within,
        time_pairs,
        timings,
    )
    from rwsstore.speed.report import BenchReport, Machine, bench_tables, this_machine
    from rwsstore.speed.subjects import MemoryUse, measure_memory, random_images, random_patches
else:
    faces.lazy(__name__)
