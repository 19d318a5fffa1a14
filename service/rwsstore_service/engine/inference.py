"""The one thread that computes: a bounded queue of predictions, and changes that go ahead of it."""

__all__ = ["InferenceThread", "Job", "Ready"]

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from rwsstore.errors import TensorError
from rwsstore.runtime import Variant
from rwsstore_service.engine.errors import OverloadedError, StoppingError
from rwsstore_service.engine.records import Chosen, Prediction, Wanted

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_NOT_FINITE = "the logits are not finite with these patches; give them smaller strengths"


@dataclass(frozen=True)
class Ready:
    """The variant that a batch runs on, and how it was asked for."""

    variant: Variant
    patches: tuple[Chosen, ...]
    generation: int | None


@dataclass(eq=False)
class Job:
    """One request's images.

    Attributes:
        images: uint8 or float32 [B, 3, H, W].
        wanted: the patch set; None for the active one.
        result: gets the prediction.
        queued_at: when it was put in the queue.
    """

    images: Tensor
    wanted: Wanted
    result: Future[Prediction] = field(default_factory=Future)
    queued_at: float = 0.0

    def goes_with(self, other: "Job") -> bool:
        """Whether both can be computed as one batch."""
        return (
            self.wanted == other.wanted
            and self.images.dtype == other.images.dtype
            and self.images.shape[1:] == other.images.shape[1:]
        )


class InferenceThread:
    """Runs everything that touches tensors, so that no two computations share the cores.

    Args:
        prepare: finds the variant of what a job wants; called in the thread, once a batch.
        queue_size: jobs that may wait.
        max_batch: images computed together at most; a larger job runs alone.
        batching: whether jobs that wait for the same weights are put together.
        on_batch: told how many images and jobs a batch has.
        clock: seconds, ever rising.
    """

    def __init__(
        self,
        prepare: Callable[[Wanted], Ready],
        *,
        queue_size: int,
        max_batch: int,
        batching: bool,
        on_batch: Callable[[int, int], None] = lambda _images, _jobs: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._prepare, self._on_batch, self._clock = prepare, on_batch, clock
        self._queue_size, self._max_batch, self._batching = queue_size, max_batch, batching
        self._jobs: deque[Job] = deque()
        self._calls: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="rwsstore-inference", daemon=True)

    def start(self) -> None:
        """Begin to compute."""
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._jobs)

    @property
    def alive(self) -> bool:
        """Whether it computes, or would."""
        return self._thread.is_alive() and not self._stopping

    def submit(self, images: Tensor, wanted: Wanted) -> Future[Prediction]:
        """Put a prediction in the queue.

        Raises:
            OverloadedError: the queue is full.
            StoppingError: it was stopped.
        """
        job = Job(images, wanted)
        with self._changed:
            self._refuse_if_stopped()
            if len(self._jobs) >= self._queue_size:
                raise OverloadedError(
                    f"{len(self._jobs)} requests wait already (RWS_QUEUE_SIZE): try again"
                )
            job.queued_at = self._clock()
            self._jobs.append(job)
            self._changed.notify()
        return job.result

    def call(self, function: Callable[[], _T]) -> Future[_T]:
        """Run a function in the thread, ahead of the predictions that wait.

        Raises:
            StoppingError: it was stopped.
        """
        result: Future[_T] = Future()
        with self._changed:
            self._refuse_if_stopped()
            self._calls.append(lambda: _settle(result, function))
            self._changed.notify()
        return result

    def stop(self, timeout: float | None = None) -> None:
        """Finish what is queued, then end; returns when that is done or the time is up."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def _refuse_if_stopped(self) -> None:
        if self._stopping:
            raise StoppingError("the service is stopping: ask again in a moment")

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._calls or self._jobs or self._stopping)
                call = self._calls.popleft() if self._calls else None
                batch = [] if call else self._next_batch()
            if call:
                call()
            elif batch:
                self._compute(batch)
            else:
                return

    def _next_batch(self) -> list[Job]:
        """The oldest job, with those behind it that can be computed together with it."""
        if not self._jobs:
            return []
        first = self._jobs.popleft()
        batch, images = [first], len(first.images)
        if not self._batching:
            return batch
        left: deque[Job] = deque()
        for job in self._jobs:
            if job.goes_with(first) and images + len(job.images) <= self._max_batch:
                batch.append(job)
                images += len(job.images)
            else:
                left.append(job)
        self._jobs = left
        return batch

    def _compute(self, batch: list[Job]) -> None:
        running = [job for job in batch if job.result.set_running_or_notify_cancel()]
        if not running:
            return
        try:
            predictions = self._predict(running)
        except Exception as error:
            for job in running:
                job.result.set_exception(error)
            return
        for job, prediction in zip(running, predictions, strict=True):
            if bool(prediction.logits.isfinite().all()):
                job.result.set_result(prediction)
            else:
                job.result.set_exception(TensorError(_NOT_FINITE))

    def _predict(self, batch: Sequence[Job]) -> list[Prediction]:
        start = self._clock()
        ready = self._prepare(batch[0].wanted)
        images = batch[0].images if len(batch) == 1 else torch.cat([job.images for job in batch])
        logits = ready.variant(images).float()
        computed = self._clock() - start
        self._on_batch(len(images), len(batch))
        parts = torch.split(logits, [len(job.images) for job in batch])
        return [
            Prediction(
                logits=part,
                patches=ready.patches,
                state_digest=ready.variant.digest,
                generation=ready.generation,
                queued=start - job.queued_at,
                computed=computed,
            )
            for job, part in zip(batch, parts, strict=True)
        ]


def _settle(result: Future[_T], function: Callable[[], _T]) -> None:
    if not result.set_running_or_notify_cancel():
        return
    try:
        result.set_result(function())
    except Exception as error:
        result.set_exception(error)
