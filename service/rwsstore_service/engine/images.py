"""Uploaded images: from bytes to a batch, in a pool of threads."""

__all__ = ["Decoder"]

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


class Decoder:
    """Decodes JPEG, PNG, WebP and BMP for one model.

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
        loop = asyncio.get_running_loop()
        tasks = [loop.run_in_executor(self._pool, self._decode, data) for data in files]
        images = []
        try:
            for number, task in enumerate(tasks, start=1):
                try:
                    images.append(await task)
                except FormatError as error:
                    raise _numbered(error, number, len(files)) from None
        finally:
            for task in tasks:
                task.cancel()  # those that have not begun yet
        batch = torch.from_numpy(np.stack(images))
        return batch, self._clock() - start

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _decode(self, data: bytes) -> NDArray[np.uint8]:
        pixels = decode_image(data, size=self._size, max_pixels=self._max_pixels)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _numbered(error: FormatError, number: int, total: int) -> FormatError:
    which = "the image" if total == 1 else f"image {number} of {total}"
    for kind in (TooLargeError, UnsupportedError):
        if isinstance(error, kind):
            return kind(f"{which} {error}")
    return InvalidImageError(f"{which} {error}")
