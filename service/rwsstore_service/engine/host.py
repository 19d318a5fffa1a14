"""A served model: its active patch set, the changes to it, and predictions with it."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from weakref import WeakSet

import torch
from torch import Tensor

from rwsstore.canonical import Digest
from rwsstore.errors import RwsError, TensorError
from rwsstore.models import Classifier
from rwsstore.patches import probe_images
from rwsstore.runtime import ActiveSet, CleanModel, Edit, LiveModel, Patches, Variant, Verification
from rwsstore.store import FittingStore, Store
from rwsstore_service.engine import errors, records
from rwsstore_service.engine.computing import Batch, Delivery, LaneCores
from rwsstore_service.engine.finding import ACTIVE, Finder, PatchSetReader
from rwsstore_service.engine.format_choice import FLOAT32_ALONE, FormatChoice
from rwsstore_service.engine.journal import Journal, Recorded
from rwsstore_service.engine.lanes import Gatherer, Inference, lane_count, set_own_threads
from rwsstore_service.engine.queue import Job, ReadyVariant
from rwsstore_service.settings import Settings

_log = logging.getLogger(__name__)

_SERVICE = records.Actor("service", "", "")


@dataclass(frozen=True)
class Active(ActiveSet):
    """The active patch set, as a live model holds it: one reference, swapped whole.

    Attributes:
        generation: its number.
        at: when it became active.
    """

    generation: int
    at: datetime

    @classmethod
    def by(cls, entry: records.JournalEntry, variant: Variant) -> "Active":
        """What a record of the journal made active."""
        return cls(entry.patches, variant, entry.generation or 0, entry.at)


@dataclass(frozen=True)
class Change:
    """A change to the patch set, as it is asked for.

    Attributes:
        action: what it is called in the history.
        edit: makes the wanted patch set of the active one.
        expected: generations that the caller accepts as active; None if any will do.
        key: idempotency key.
        answer: what is kept under the key.
        rolled_back_to: generation that a rollback goes back to.
    """

    actor: records.Actor
    action: records.Action
    edit: Edit
    expected: frozenset[int] | None = None
    key: str | None = None
    answer: Callable[[Active], Recorded] | None = None
    rolled_back_to: int | None = None


class ModelHost:
    """One clean model with its patch sets.

    Predictions run in the lanes, each on one variant from beginning to end. Changes are
    made one at a time (`change` is called in one thread only): the new variant is built and
    checked first, then the change is written down, then the active reference is swapped. So a
    change that fails at any point leaves the old patch set serving, and one that was
    acknowledged survives everything.

    Args:
        on_batch: told of every batch.
        on_dropped: told of every prediction that waited and was not computed.
        on_change: told about every new active patch set.

    Attributes:
        classes: names; their numbers where they have none.
        fault: why the active patch set is not served; None if it is.
    """

    def __init__(
        self,
        name: str,
        model: Classifier,
        store: Store,
        journal: Journal,
        settings: Settings,
        *,
        format_choice: FormatChoice = FLOAT32_ALONE,
        on_batch: Callable[[Batch], None] = lambda _batch: None,
        on_dropped: Callable[[records.Dropped], None] = lambda _why: None,
        on_change: Callable[[Active], None] = lambda _active: None,
    ) -> None:
        self.name, self.spec, self.format_choice = name, model.spec, format_choice
        self.classes = model.spec.classes or tuple(map(str, range(model.spec.num_classes)))
        clean = CleanModel.of(model)
        fitting = FittingStore(store, clean.identity)
        self.live = LiveModel(
            clean,
            fitting,
            allow_transfer=settings.allow_transfer,
            compute=format_choice.format,
            resident_bytes=settings.resident_bytes,
        )
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        self.identity = clean.identity
        self.finder = Finder(fitting, at_most=settings.max_request_patches)
        self._reader = PatchSetReader(self.finder, store)
        self._probe = probe_images(0, 2, model.spec.input_size)
        self._journal, self._on_change = journal, on_change
        self._finite: WeakSet[Variant] = WeakSet()  # variants whose logits are known to be so
        self._queue_timeout = settings.queue_timeout
        self._delivery = Delivery()
        threads = settings.threads or torch.get_num_threads()  # of who makes the host
        lanes = lane_count(settings.lanes, threads=threads, batching=settings.batching)
        self._gatherer = Gatherer(
            lanes=lanes,
            queue_size=settings.queue_size,
            max_batch=settings.max_batch,
            batching=settings.batching,
            batch_wait=settings.batch_wait_ms / 1000,
        )
        cores = LaneCores.of_lanes(lanes, threads, set_threads=set_own_threads)
        self._inference = Inference(
            self._prepare,
            self.live.predict_mixed,
            self._gatherer,
            lanes=[one.use for one in cores],
            on_batch=on_batch,
            on_dropped=on_dropped,
            on_results=self._delivery.flush,
        )
        self.fault: str | None = None

    @property
    def active(self) -> Active:
        """The active patch set."""
        on = self.live.on
        if not isinstance(on, Active):
            raise errors.StateLostError("the model has not been started")
        return on

    @property
    def digests_on(self) -> frozenset[Digest]:
        """Digests of the active patches, composed ones and their parts."""
        active = self.active
        named = {one.digest for one in active.patches}
        return frozenset(named | {digest for digest, _ in active.variant.patches})

    @property
    def ready(self) -> bool:
        """Whether predictions are served."""
        return self.fault is None and self._inference.alive

    @property
    def waiting(self) -> int:
        """How many predictions wait."""
        return self._gatherer.waiting

    def start(self) -> None:
        """Start computing, with the patch set that was active last.

        Raises:
            ConfigError: the model cannot be computed in the format.
            RwsError: the journal cannot be read or written.
        """
        # Put into its format, traced and summed up now, not by the first request or change.
        self.live(self._probe)
        self.live.bounded(self.live.active)
        self._inference.start()
        try:
            last = self._journal.latest(self.name)
            if last is not None and last.clean_weights == self.identity.clean_weights:
                self._restore(last)
            else:  # the first time, or after other weights
                previous = "" if last is None else last.state_digest
                self._commit(
                    Change(_SERVICE, "start", lambda _on: ()), (), self._build(()), previous
                )
        except BaseException:
            self._inference.stop()
            raise

    def stop(self, timeout: float | None = None) -> None:
        """Finish the predictions that were accepted, then stop computing."""
        self._inference.stop(timeout)

    async def choose(self, text: str) -> records.Wanted:
        """Read a patch set as a prediction names it: active, none, or `fog=0.6,frost=0.4`.

        Raises:
            RwsError: a patch that is not there, is named twice, or may not have that strength.
        """
        if text == ACTIVE:
            return None
        known = self._reader.find(text)
        return await asyncio.to_thread(self._reader.read, text) if known is None else known

    async def predict(
        self,
        images: Tensor,
        wanted: records.Wanted,
        *,
        asked_at: float | None = None,
        timeout: float | None = None,
    ) -> records.PredictedImages:
        """Classify images.

        Args:
            images: uint8, or float32 in [0, 1]; [B, 3, H, W] of the model's input size.
            wanted: the patch set; None for the active one.
            asked_at: when the request was read, by `time.perf_counter`; now if None.
            timeout: seconds from then within which it is to be begun; the setting's if None.

        Raises:
            DeadlineError: its time was up before it was begun.
            OverloadedError: too many wait already.
            StateLostError: the active patch set could not be restored.
            RwsError: a patch does not belong on the model, or may not have that strength.
        """
        if wanted is None and self.fault is not None:
            raise errors.StateLostError(self.fault)
        since = time.perf_counter() if asked_at is None else asked_at
        allowed = self._queue_timeout if timeout is None else timeout
        job = Job(images, wanted, deadline=since + allowed)
        return await self._delivery.of(self._inference.submit(job))

    def change(self, change: Change) -> Active:
        """Change the active patch set; to be called in one thread only.

        A change to what is active already makes no new generation.

        Raises:
            StaleGenerationError: another change came first.
            StoppingError: the host was stopped.
            RwsError: a patch that is not there, does not belong on the model, does nothing, or
                may not have that strength; or the journal cannot be written. The old patch set
                stays active.
        """
        self._gatherer.refuse_if_stopped()
        before = self.active
        if change.expected is not None and before.generation not in change.expected:
            raise errors.StaleGenerationError(change.expected, before.generation)
        patches = change.edit(before.patches)
        variant = self._build(patches)
        # In whichever order: a patch set is none the other for it.
        if set(patches) == set(before.patches) and self.fault is None:
            if change.key is not None and change.answer is not None:
                self._journal.remember(change.actor.name, change.key, change.answer(before))
            return before
        return self._commit(change, patches, variant, before.variant.digest)

    def generation(self, number: int) -> records.JournalEntry:
        """Find a generation of this clean model.

        Raises:
            UnknownGenerationError: there is none of this number.
            OtherModelError: it belongs to other clean weights.
        """
        entry = self._journal.generation(self.name, number)
        if entry is None:
            raise errors.UnknownGenerationError(
                f"there is no generation {number}; {self.active.generation} is active"
            )
        if entry.clean_weights != self.identity.clean_weights:
            raise errors.OtherModelError(
                f"generation {number} belongs to the clean weights {entry.clean_weights[:12]}, "
                f"this model has {self.identity.clean_weights[:12]}"
            )
        return entry

    async def verify(self) -> tuple[Active, Verification]:
        """Compare the active variant's tensors in memory with a fresh build, to the bit."""
        active = self.active
        future = self._inference.call(lambda: self.live.verify(active.variant))
        return active, await asyncio.wrap_future(future)

    def _prepare(self, wanted: records.Wanted) -> ReadyVariant:
        if wanted is None:
            active = self.active
            return ReadyVariant(active.variant, active.patches, active.generation)
        variant = self.live.variant({one.digest: one.alpha for one in wanted})
        return ReadyVariant(variant, wanted, None)

    def _build(self, patches: Patches) -> Variant:
        wanted = {one.digest: one.alpha for one in patches}
        # Here, not in a lane, where predictions would wait for it.
        variant = self.live.variant(wanted)
        if not wanted or variant in self._finite:
            return variant
        self.live.prepare(variant)
        # Finite weights can still give infinite logits: seen before they serve anybody. Most patch
        # sets are known to give none, for their weights bound the logits. A trial is computed with
        # the predictions that wait, so that they need not wait for it.
        if not self.live.bounded(variant):
            ready = ReadyVariant(variant, patches, None)
            try:
                self._inference.trial(self._probe, ready).result()
            except TensorError:
                raise TensorError(
                    "the logits of a probe batch are not finite with these patches; give them "
                    "smaller strengths"
                ) from None
        self._finite.add(variant)
        return variant

    def _commit(
        self, change: Change, patches: Patches, variant: Variant, previous: Digest
    ) -> Active:
        note = records.Note(
            actor=change.actor,
            action=change.action,
            subject=self.name,
            patches=patches,
            resolved=variant.resolved,
            clean_weights=self.identity.clean_weights,
            state_digest=variant.digest,
            previous_digest=previous,
            rolled_back_to=change.rolled_back_to,
        )
        answer = change.answer
        entry = self._journal.append(
            note,
            key=change.key,
            answer=None if answer is None else lambda entry: answer(Active.by(entry, variant)),
        )
        self._swap(entry, variant)
        self.fault = None  # last: who finds none may predict with what is active
        return self.active

    def _swap(self, entry: records.JournalEntry, variant: Variant) -> None:
        active = Active.by(entry, variant)
        self.live.activate(active)
        self._on_change(active)

    def _restore(self, last: records.JournalEntry) -> None:
        """Serve the last patch set again, or say why not and serve none."""
        try:
            variant = self._build(last.patches)
            if variant.digest != last.state_digest:
                raise errors.StateLostError("its patches do not give the recorded state digest")
        except RwsError as error:
            _log.error("generation %s cannot be restored: %s", last.generation, error)
            self.fault = (
                f"generation {last.generation} cannot be restored: {error.public}; set another "
                "patch set, roll back, or clear it"
            )
            variant = self._build(())
        self._swap(last, variant)
