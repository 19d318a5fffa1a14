"""Everything that a running service holds, opened and closed together."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rwsstore.bundled import bundled_model, bundled_store
from rwsstore.cpu import thread_count
from rwsstore.data import decode_image
from rwsstore.errors import ConfigError, FormatError, TooLargeError, UnsupportedError
from rwsstore.models import Classifier, load_clean_model
from rwsstore.store import Store, default_store_path
from rwsstore_service.engine.computing import Batch
from rwsstore_service.engine.errors import InvalidImageError, StoppingError
from rwsstore_service.engine.format_choice import choose_format
from rwsstore_service.engine.host import Active, ModelHost
from rwsstore_service.engine.journal import Journal
from rwsstore_service.engine.lanes import lane_count, set_own_threads
from rwsstore_service.engine.library import Library
from rwsstore_service.engine.records import Dropped
from rwsstore_service.settings import BUNDLED, Settings

# Decoding so much takes a fraction of a millisecond; handing it to another thread takes as long,
# and more where the interpreter is busy.
_SMALL_BYTES = 8 * 1024
_SMALL_PIXELS = 128 * 128
# To copy more than some hundred numbers, NumPy lets go of the interpreter; to get it back from a
# thread that computes takes longer than to copy a small image without.
_FEW_NUMBERS = 3 * 48 * 48


class Decoder:
    """Decodes JPEG, PNG, WebP and BMP for one model: small files at once, others in a pool.

    Args:
        size: height and width that the model takes.
        threads: how many images are decoded at a time.
        max_pixels: an image with more is refused from its header.
    """

    def __init__(
        self,
        size: int,
        *,
        threads: int,
        max_pixels: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._size, self._max_pixels, self._clock = size, max_pixels, clock
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="rwsstore-decode")

    async def decode(self, files: Sequence[bytes]) -> tuple[Tensor, float]:
        """Decode images to one batch.

        An image of another size has its shorter side resized to the model's, antialiased
        bilinear, and its middle square cut out.

        Returns:
            uint8 [B, 3, H, W], and the seconds from now until the last was decoded.

        Raises:
            TooLargeError, UnsupportedError, InvalidImageError: the first that cannot be used,
                with its number.
        """
        start = self._clock()
        batch = np.empty((len(files), 3, self._size, self._size), dtype=np.uint8)
        if not self._decode_small(files, batch):
            await self._decode_in_pool(files, batch)
        return torch.from_numpy(batch), self._clock() - start

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _decode_small(self, files: Sequence[bytes], batch: NDArray[np.uint8]) -> bool:
        """Decode here what takes less time than another thread takes to begin; False if it may not.

        A file of few bytes may still hold many pixels: then its header says so.
        """
        if sum(map(len, files)) > _SMALL_BYTES:
            return False
        bound = min(self._max_pixels, _SMALL_PIXELS)
        for number, (data, place) in enumerate(zip(files, batch, strict=True), start=1):
            try:
                self._decode_into(data, place, bound)
            except TooLargeError:
                return False
            except FormatError as error:
                raise _numbered(error, number, len(files)) from None
        return True

    async def _decode_in_pool(self, files: Sequence[bytes], batch: NDArray[np.uint8]) -> None:
        loop = asyncio.get_running_loop()
        tasks = [
            loop.run_in_executor(self._pool, self._decode_into, data, place, self._max_pixels)
            for data, place in zip(files, batch, strict=True)
        ]
        try:
            for number, task in enumerate(tasks, start=1):
                try:
                    await task
                except FormatError as error:
                    raise _numbered(error, number, len(files)) from None
        finally:
            for task in tasks:
                task.cancel()  # those that have not begun yet

    def _decode_into(self, data: bytes, place: NDArray[np.uint8], max_pixels: int) -> None:
        """Decode one image into its place [3, H, W] of the batch; its pixels are copied once."""
        pixels = decode_image(data, size=self._size, max_pixels=max_pixels)  # [H, W, 3]
        if pixels.size > _FEW_NUMBERS:
            place[...] = pixels.transpose(2, 0, 1)
            return
        flat = pixels.tobytes()
        place.data.cast("B")[:] = b"".join((flat[::3], flat[1::3], flat[2::3]))


def _numbered(error: FormatError, number: int, total: int) -> FormatError:
    which = "the image" if total == 1 else f"image {number} of {total}"
    for kind in (TooLargeError, UnsupportedError):
        if isinstance(error, kind):
            return kind(f"{which} {error}")
    return InvalidImageError(f"{which} {error}")


_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class Counts(Protocol):
    """Is told what happens here; the metrics are."""

    def batch(self, *, images: int, requests: int, patch_sets: int) -> None:
        """A batch was computed."""

    def dropped(self, why: Dropped, /) -> None:
        """A prediction that waited was not computed."""

    def generation(self, model: str, number: int, patches: int, /) -> None:
        """A patch set became active."""

    def model(self, model: str, /, *, network: str, weights: str, compute: str) -> None:
        """A model is served from now on."""

    def watch(
        self, model: str, /, *, waiting: Callable[[], float], resident: Callable[[], float]
    ) -> None:
        """Ask for these numbers whenever somebody wants to know them."""


class Service:
    """The served model, its patches and its journal.

    Nothing is read or started before `start`, which sets `journal`, `library` and `decoder`.

    Attributes:
        hosts: the served models by name; there is one.
    """

    journal: Journal
    library: Library
    decoder: Decoder

    def __init__(self, settings: Settings, counts: Counts) -> None:
        self.settings, self._counts = settings, counts
        self.stopping = False
        self._changes = ThreadPoolExecutor(
            1, thread_name_prefix="rwsstore-changes", initializer=self._take_share
        )
        self.hosts: dict[str, ModelHost] = {}

    @property
    def host(self) -> ModelHost:
        """The one served model."""
        return next(iter(self.hosts.values()))

    @property
    def ready(self) -> bool:
        """Whether predictions are served."""
        return bool(self.hosts) and not self.stopping and self.host.ready

    @property
    def why_not_ready(self) -> str:
        """What hinders it."""
        if self.stopping:
            return "the service is stopping"
        if not self.hosts:
            return "the service is starting"
        return self.host.fault or "a thread that computes has ended"

    def start(self) -> None:
        """Load the model, open the store and the journal, and serve the last patch set again.

        Raises:
            RwsError: one of them cannot be used.
        """
        settings = self.settings
        threads = settings.threads or thread_count()
        set_own_threads(threads)
        if settings.model == BUNDLED:
            model = bundled_model()
        else:
            model = load_clean_model(Path(settings.model).expanduser())
        store = _open_store(settings)
        self.journal = Journal(settings.state_path)
        try:
            host = self._start_host(model, store)
        except BaseException:
            self.journal.close()
            raise
        self.decoder = Decoder(
            model.spec.input_size,
            threads=settings.decode_threads or threads,
            max_pixels=settings.max_pixels,
        )
        self.library = Library(store, host.finder, host.identity, self.journal)
        self.hosts[host.name] = host
        _log.info(
            "serving model %s (%s), generation %d, %d thread(s), computed in %s (%s)",
            host.name, host.identity.clean_weights[:12], host.active.generation, threads,
            host.format_choice.format.name, host.format_choice.why,
        )  # fmt: skip

    def stop(self) -> None:
        """Finish what was accepted, then close everything."""
        self.stopping = True
        self._changes.shutdown(wait=True)
        for host in self.hosts.values():
            host.stop(self.settings.shutdown_timeout)
            self.decoder.close()
            self.journal.close()

    async def in_turn(self, change: Callable[[], _T]) -> _T:
        """Run a change in the one thread that makes them, after those asked for before.

        Once begun, it is carried out even if the caller goes away meanwhile.

        Raises:
            StoppingError: the service was stopped.
        """
        try:
            turn = self._changes.submit(change)
        except RuntimeError:  # the executor was shut down
            raise StoppingError("the service is stopping: ask again in a moment") from None
        return await asyncio.wrap_future(turn)

    def _take_share(self) -> None:
        """Let the calling thread compute with as many threads as a lane that is not alone.

        With more it would wait for the lanes' cores at each step, and they for it.
        """
        settings, threads = self.settings, self.settings.threads or thread_count()
        lanes = lane_count(settings.lanes, threads=threads, batching=settings.batching)
        set_own_threads(threads // lanes)

    def _start_host(self, model: Classifier, store: Store) -> ModelHost:
        name, counts = self.settings.served_name, self._counts

        def changed(active: Active) -> None:
            counts.generation(name, active.generation, len(active.patches))

        def computed(batch: Batch) -> None:
            counts.batch(images=batch.images, requests=batch.jobs, patch_sets=batch.patch_sets)

        host = ModelHost(
            name,
            model.eval(),
            store,
            self.journal,
            self.settings,
            format_choice=choose_format(model.eval(), self.settings),
            on_batch=computed,
            on_dropped=counts.dropped,
            on_change=changed,
        )
        host.start()
        counts.model(
            name,
            network=model.spec.network,
            weights=host.identity.clean_weights,
            compute=host.format_choice.format.name,
        )
        counts.watch(name, waiting=lambda: host.waiting, resident=lambda: host.live.resident)
        return host


def _open_store(settings: Settings) -> Store:
    if settings.store is not None and str(settings.store) == BUNDLED:
        return bundled_store()
    root = default_store_path() if settings.store is None else settings.store.expanduser()
    if root.exists() and not root.is_dir():
        raise ConfigError(f"RWS_STORE: {root} is a file; expected the folder of a store")
    return Store(root, base=bundled_store())
