"""Lanes whose model takes means, and which wait until they are let go."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from rwsstore.runtime import Chosen, Variant
from rwsstore_service.engine.computing import Batch
from rwsstore_service.engine.lanes import Gatherer, Inference
from rwsstore_service.engine.queue import Job, ReadyVariant
from rwsstore_service.engine.records import Dropped, PredictedImages, Wanted

PATIENCE = 30.0

FOG: Wanted = (Chosen("fog", "f" * 64, 0.5),)
RAIN: Wanted = (Chosen("rain", "a" * 64, 1.0),)


@dataclass(frozen=True, eq=False)
class Named:
    """As much of a variant as the lanes look at."""

    digest: str


def variant(digest: str) -> Variant:
    return cast("Variant", Named(digest))


def means(images: Tensor, variants: Sequence[Variant]) -> Tensor:
    """Of each image its mean, and how many images it was computed with."""
    assert len(images) == len(variants)
    found = images.float().mean((1, 2, 3))
    return torch.stack([found, torch.full_like(found, len(images))], dim=1)


def filled(value: float, count: int = 1, dtype: torch.dtype = torch.uint8) -> Tensor:
    """Images that are all of one value."""
    return torch.full((count, 3, 2, 2), value, dtype=dtype)


class Bench:
    """The lanes, one unless told otherwise, and what they did.

    Attributes:
        prepared: the patch sets that it looked for.
        batches: (images, jobs, patch sets) of each batch.
        variants: digests that each batch was computed with, image by image.
        dropped: why each dropped job was.
        wide: for each lane, whether it might use all threads, work by work.
        flushed: how many jobs had been computed at each delivery of results.
        fail: called with each patch set that is looked for.
        predict: computes; may be exchanged.
        clock: the time.
        threads: of the lanes.
    """

    def __init__(self, lanes: int = 1, **options: Any) -> None:
        self.prepared: list[Wanted] = []
        self.batches: list[tuple[int, int, int]] = []
        self.variants: list[list[str]] = []
        self.dropped: list[Dropped] = []
        self.wide: list[list[bool]] = [[] for _ in range(lanes)]
        self.flushed: list[int] = []
        self.fail: Callable[[Wanted], None] = lambda _wanted: None
        self.predict: Callable[[Tensor, Sequence[Variant]], Tensor] = means
        self.clock = 0.0
        self._known: dict[str, Variant] = {}
        self._gate = threading.Event()
        self.gatherer = Gatherer(
            lanes=lanes,
            clock=lambda: self.clock,
            **{"queue_size": 16, "max_batch": 8, "batching": True, **options},
        )
        self.thread = Inference(
            self._prepare,
            self._predict,
            self.gatherer,
            on_batch=self._note,
            on_dropped=self.dropped.append,
            on_results=lambda: self.flushed.append(sum(jobs for _, jobs, _ in self.batches)),
            lanes=[partial(list.append, wide) for wide in self.wide],
        )
        for _ in range(lanes):  # each is kept from every prediction
            self.thread.call(lambda: self._gate.wait(PATIENCE))
        before = set(threading.enumerate())
        self.thread.start()
        self.threads = [one for one in threading.enumerate() if one not in before]

    def go(self) -> None:
        """Begin with what has come in until now."""
        self._gate.set()

    def end(self) -> None:
        """Finish everything."""
        self.go()
        self.thread.stop(PATIENCE)

    def submit(
        self, value: float, count: int = 1, wanted: Wanted = None, **fields: Any
    ) -> Future[PredictedImages]:
        """Ask for images that are all of one value."""
        return self.thread.submit(Job(filled(value, count), wanted, **fields))

    def trial(self, value: float, count: int = 1, digest: str = "tried") -> Future[PredictedImages]:
        """Try a variant on such images."""
        return self.thread.trial(filled(value, count), ReadyVariant(variant(digest), (), None))

    def _prepare(self, wanted: Wanted) -> ReadyVariant:
        self.prepared.append(wanted)
        self.fail(wanted)
        digest = "active" if wanted is None else "+".join(one.patch for one in wanted) or "none"
        found = self._known.setdefault(digest, variant(digest))
        return ReadyVariant(found, wanted or (), 7 if wanted is None else None)

    def _predict(self, images: Tensor, variants: Sequence[Variant]) -> Tensor:
        self.variants.append([one.digest for one in variants])
        return self.predict(images, variants)

    def _note(self, batch: Batch) -> None:
        self.batches.append((batch.images, batch.jobs, batch.patch_sets))


def rows(future: Future[PredictedImages]) -> list[list[float]]:
    return future.result(PATIENCE).logits.tolist()


def digest(future: Future[PredictedImages]) -> str:
    return future.result(PATIENCE).state_digest
