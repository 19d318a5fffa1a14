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
    )
    from rwsstore.speed.measuring import (
        Pairs as Pairs,
        Ratio as Ratio,
        inner_for as inner_for,
        time_pairs as time_pairs,
        timings as timings,
    )
    from rwsstore.speed.subjects import random_patches as random_patches
else:
    faces.lazy(__name__)
