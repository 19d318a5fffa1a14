"""How fast a model and its patches are on this machine, and how far from what it could do."""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.speed.benching import (
        BenchReport as BenchReport,
        Machine as Machine,
        Subject as Subject,
        bench as bench,
        bench_tables as bench_tables,
        this_machine as this_machine,
    )
    from rwsstore.speed.measuring import (
        Floors as Floors,
        Pairs as Pairs,
        Ratio as Ratio,
        count_flops as count_flops,
        find_floors as find_floors,
        inner_for as inner_for,
        repeats_within as repeats_within,
        time_pairs as time_pairs,
        timings as timings,
    )
    from rwsstore.speed.subjects import (
        MemoryUse as MemoryUse,
        measure_memory as measure_memory,
        random_images as random_images,
        random_patches as random_patches,
    )
else:
    faces.lazy(__name__)
