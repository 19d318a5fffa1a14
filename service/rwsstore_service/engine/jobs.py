"""What waits for a lane to compute it."""

__all__ = ["Job", "Ready"]

import math
from concurrent.futures import Future
from dataclasses import dataclass, field

from torch import Tensor

from rwsstore.canonical import Digest
from rwsstore.runtime import Variant
from rwsstore_service.engine.records import Chosen, Prediction, Wanted

PatchSetKey = frozenset[tuple[Digest, float]] | None
"""A patch set whatever its patches are called and in whichever order; None is the active one."""


@dataclass(frozen=True)
class Ready:
    """The variant that a job runs on, and how it was asked for."""

    variant: Variant
    patches: tuple[Chosen, ...]
    generation: int | None


@dataclass(eq=False)
class Job:
    """One request's images.

    Attributes:
        images: uint8 or float32 [B, 3, H, W].
        wanted: the patch set; None for the active one.
        deadline: when it is too late to begin, in seconds of the lanes' clock.
        given: the variant, where it need not be looked for.
        result: gets the prediction.
        queued_at: when it was put in the queue.
    """

    images: Tensor
    wanted: Wanted
    deadline: float = math.inf
    given: Ready | None = None
    result: Future[Prediction] = field(default_factory=Future)
    queued_at: float = 0.0

    @property
    def patch_set(self) -> PatchSetKey:
        """Whose turn it takes."""
        if self.wanted is None:
            return None
        return frozenset((one.digest, one.alpha) for one in self.wanted)

    def goes_with(self, other: "Job") -> bool:
        """Whether the images of both can stand in one tensor."""
        return (
            self.images.dtype == other.images.dtype
            and self.images.shape[1:] == other.images.shape[1:]
        )
