"""Uploaded images: from bytes to a batch, large ones in a pool of threads."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rwsstore.data import decode_image
from rwsstore.errors import FormatError, TooLargeError, UnsupportedError
from rwsstore_service.engine.errors import InvalidImageError

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
        clock: seconds, ever rising.
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
        size = self._size
        batch = np.empty((len(files), 3, size, size), dtype=np.uint8)
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
        _lay_out(decode_image(data, size=self._size, max_pixels=max_pixels), place)


def _lay_out(pixels: NDArray[np.uint8], place: NDArray[np.uint8]) -> None:
    """Copy [H, W, 3] to [3, H, W]."""
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
