"""What `rws bench` finds, as data."""

__all__ = ["BATCHES", "BenchReport", "Composing", "FormatSpeed", "PatchSpeed"]

from dataclasses import asdict, dataclass
from typing import Any

from rwsstore.speed.floors import Floors
from rwsstore.speed.machine import Machine
from rwsstore.speed.memory import MemoryUse

BATCHES = (1, 8, 32)
"""Images in a batch."""


@dataclass(frozen=True)
class FormatSpeed:
    """How fast the clean model is in one compute format.

    Attributes:
        name: of the format.
        chosen: whether it is the one that a service would pick here.
        images_per_second: by the size of the batch; None where there was no time to measure it.
        gflops: the most that the convolutions and matrix products amounted to in a second, 10⁹.
        share: of the machine's rate in that arithmetic; None where the processor has none.
    """

    name: str
    chosen: bool
    images_per_second: dict[int, float | None]
    gflops: float
    share: float | None


@dataclass(frozen=True)
class Composing:
    """What putting patches on costs, codes decoded already and no variant ready.

    Attributes:
        patches: that go on together.
        milliseconds: that it takes.
        copies: the same, in plain copies of the tensors that they touch.
    """

    patches: int
    milliseconds: float
    copies: float


@dataclass(frozen=True)
class PatchSpeed:
    """What patches cost here, in the format that a service would pick.

    Attributes:
        origin: where the patches come from.
        weights: parameters that the first of them touches.
        copy_milliseconds: a plain copy of those.
        switching: one patch.
        composing: several together.
        new_milliseconds: predicting one image with a patch set that was never used before.
        ready_milliseconds: with one that was.
        mixed: throughput of a batch of 8 with as many patch sets, over that with one.
        memory: of resident patch sets; None where the system does not tell.
    """

    origin: str
    weights: int
    copy_milliseconds: float
    switching: Composing
    composing: Composing
    new_milliseconds: float
    ready_milliseconds: float
    mixed: float
    memory: MemoryUse | None


@dataclass(frozen=True)
class BenchReport:
    """All of it.

    Attributes:
        machine: where.
        model: what the model is called.
        parameters: that it has.
        flops: additions and multiplications of the forward pass of one image.
        floors: what the machine could do at best.
        formats: how fast the model is in each format that is offered.
        patches: what patches cost.
    """

    machine: Machine
    model: str
    parameters: int
    flops: int
    floors: Floors
    formats: tuple[FormatSpeed, ...]
    patches: PatchSpeed

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        found = asdict(self)
        memory = self.patches.memory
        if memory is not None:
            found["patches"]["memory"]["per_patch_set"] = memory.per_patch_set
            found["patches"]["memory"]["against_models"] = memory.against_models
        return found
