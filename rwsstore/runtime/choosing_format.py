"""Which compute format is fastest on this machine: measured on generated images, not guessed."""

__all__ = ["FormatProbe", "fastest_format"]

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from rwsstore.errors import ConfigError
from rwsstore.patches import PatchSet, probe_images
from rwsstore.runtime.engine import Engine
from rwsstore.runtime.formats import FLOAT32, ComputeFormat
from rwsstore.runtime.variant import CleanModel, build_variant

_WORTHWHILE = 1.1
"""Another format must beat float32 by this factor, so that noise does not decide."""
_HOPELESS = 2.0
"""One that takes so many times float32's first batch is not timed again: on a CPU without bfloat16
each batch is torture."""


@dataclass(frozen=True)
class FormatProbe:
    """What was measured.

    Attributes:
        chosen: the fastest format.
        milliseconds: median of a batch in each format that the model can be computed in, by name.
    """

    chosen: ComputeFormat
    milliseconds: Mapping[str, float]


def fastest_format(
    model: nn.Module,
    offered: Sequence[ComputeFormat],
    *,
    size: int,
    batch: int = 8,
    repeats: int = 7,
    clock: Callable[[], float] = time.perf_counter,
) -> FormatProbe:
    """Time a few batches in each format, turn by turn; nothing depends on the answer but time.

    Args:
        model: left as it is.
        offered: the formats to choose from. One alone is chosen without being timed.
        size: height and width of the images, in pixels.
        batch: images in a batch.
        repeats: timed batches of each, after one that is not.
        clock: seconds, ever rising.

    Raises:
        ConfigError: nothing is offered, or the model can be computed in none of it.
    """
    if len(offered) == 1:
        return FormatProbe(offered[0], {})
    images = probe_images(0, batch, size)
    clean = CleanModel.of(model)
    times: dict[ComputeFormat, list[float]] = {}
    runs = {one: run for one in offered if (run := _ready(clean, one, images))}
    if not runs:
        raise ConfigError("no compute format is offered that the model can be computed in")
    for turn in range(repeats + 1):
        for one, run in runs.items():
            found = times.setdefault(one, [])
            if found and found[0] > _HOPELESS * min(other[0] for other in times.values() if other):
                continue
            start = clock()
            run()
            if turn:  # the first builds kernels and allocates
                found.append(clock() - start)
    medians = {one: statistics.median(found) for one, found in times.items()}
    return FormatProbe(_fastest(medians), {one.name: 1e3 * s for one, s in medians.items()})


def _ready(
    clean: CleanModel, compute: ComputeFormat, images: Tensor
) -> Callable[[], Tensor] | None:
    """Predicts a batch in a format; None where the model cannot be computed in it."""
    bare = build_variant(clean, PatchSet(), {})
    try:
        engine = Engine(clean, compute)
        engine.predict(images[:1], [bare])
    except ConfigError:
        return None
    return partial(engine.predict, images, [bare] * len(images))


def _fastest(medians: Mapping[ComputeFormat, float]) -> ComputeFormat:
    best = min(medians, key=lambda one: medians[one])
    plain = medians.get(FLOAT32)
    return FLOAT32 if plain is not None and plain <= medians[best] * _WORTHWHILE else best
