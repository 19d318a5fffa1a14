import asyncio
import gc
import io
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from rwsstore.data import decode_image
from rwsstore.errors import FormatError, TooLargeError, UnsupportedError
from rwsstore_service.engine import service as images
from rwsstore_service.engine.errors import InvalidImageError
from rwsstore_service.engine.service import Decoder
from tests.service.hostile_images import huge_png

SIZE = 16


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    made = Decoder(SIZE, threads=2, max_pixels=25_000_000)
    yield made
    made.close()


def picture(mode: str = "RGB", size: tuple[int, int] = (SIZE, SIZE), seed: int = 0) -> Image.Image:
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def written(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decode(decoder: Decoder, *files: bytes) -> Tensor:
    batch, _ = asyncio.run(decoder.decode(files))
    return batch


def pixels_of(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def frames(kind: str) -> bytes:
    first, second = picture(), picture(seed=1)
    options: dict[str, object] = {"lossless": True} if kind == "WEBP" else {}
    return written(first, kind, save_all=True, append_images=[second], **options)


@pytest.mark.parametrize("size", [1, 47, 48, 49, 64])  # small ones are copied in another way
def test_every_pixel_of_any_size_is_in_its_place(size: int) -> None:
    decoder = Decoder(size, threads=1, max_pixels=10_000)
    given = [picture(size=(size, size), seed=seed) for seed in range(2)]
    found = decode(decoder, *(written(one) for one in given))
    assert torch.equal(found, torch.stack([pixels_of(one) for one in given]))
    decoder.close()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP"])
def test_images_come_as_a_batch_in_their_order(decoder: Decoder, kind: str) -> None:
    pictures = [picture(seed=seed) for seed in range(9)]
    options: dict[str, object] = {"lossless": True} if kind == "WEBP" else {}
    batch = decode(decoder, *(written(one, kind, **options) for one in pictures))
    assert batch.dtype == torch.uint8
    assert torch.equal(batch, torch.stack([pixels_of(one) for one in pictures]))


def test_a_photograph_is_as_the_library_reads_it(decoder: Decoder) -> None:
    data = written(picture(size=(50, 31)), "JPEG", quality=90)
    expected = torch.from_numpy(decode_image(data, size=SIZE).copy()).permute(2, 0, 1)
    assert torch.equal(decode(decoder, data)[0], expected)


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (6, Image.Transpose.ROTATE_270),
        (8, Image.Transpose.ROTATE_90),
    ],
)
def test_a_picture_is_seen_upright(
    decoder: Decoder, orientation: int, turn: Image.Transpose
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = picture()
    data = written(image, "PNG", exif=exif.tobytes())
    assert torch.equal(decode(decoder, data)[0], pixels_of(image.transpose(turn)))


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGBA", "LA"])
def test_other_colours_become_rgb(decoder: Decoder, mode: str) -> None:
    image = picture(mode)
    assert torch.equal(decode(decoder, written(image))[0], pixels_of(image))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # as in a service
def test_a_picture_of_177_megapixels_costs_nothing(decoder: Decoder) -> None:
    data = huge_png()
    assert len(data) < 30_000
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError, match=r"13300x13300; at most 25,000,000"):
            decode(decoder, data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20


def test_the_bound_is_exact() -> None:
    decoder = Decoder(SIZE, threads=1, max_pixels=40 * 40)
    assert decode(decoder, written(picture(size=(40, 40)))).shape == (1, 3, SIZE, SIZE)
    with pytest.raises(TooLargeError):
        decode(decoder, written(picture(size=(41, 40))))
    decoder.close()


UNSUPPORTED: dict[str, Callable[[], bytes]] = {
    "GIF": lambda: written(picture(), "GIF"),
    "animated GIF": lambda: frames("GIF"),
    "animated WebP": lambda: frames("WEBP"),
    "animated PNG": lambda: frames("PNG"),
    "TIFF": lambda: written(picture(), "TIFF"),
    "ICO": lambda: written(picture(), "ICO"),
    "PPM": lambda: written(picture(), "PPM"),
    "PDF": lambda: written(picture(), "PDF"),
    "16 bits": lambda: written(Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16))),
    "FITS": lambda: b"SIMPLE  =                    T".ljust(2880),
    "SVG": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "gzip": lambda: zlib.compress(written(picture()), wbits=31),
    "text": lambda: b"http://169.254.169.254/latest/meta-data/",
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_other_formats_are_not_read(decoder: Decoder, kind: str) -> None:
    with pytest.raises(UnsupportedError, match=r"^the image "):
        decode(decoder, UNSUPPORTED[kind]())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_an_image_cut_anywhere_is_refused(decoder: Decoder, kind: str) -> None:
    data = written(picture(), kind)
    for length in range(1, len(data) - 12, max(1, len(data) // 40)):
        with pytest.raises(FormatError, match=r"^the image "):
            decode(decoder, data[:length])


def test_a_damaged_image_is_an_invalid_one(decoder: Decoder) -> None:
    data = bytearray(written(picture()))
    data[60] ^= 255
    with pytest.raises(InvalidImageError, match="the image is damaged"):
        decode(decoder, bytes(data))


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (written(picture())[:200], InvalidImageError),
        (written(picture(), "TIFF"), UnsupportedError),
        (huge_png(), TooLargeError),
    ],
    ids=["cut", "another format", "huge"],
)
def test_the_first_that_cannot_be_used_is_named(
    decoder: Decoder, bad: bytes, error: type[Exception]
) -> None:
    good = written(picture())
    with pytest.raises(error, match=r"^image 3 of 5 "):
        decode(decoder, good, good, bad, good, bad)


def run_noting_faults(decoder: Decoder, files: Sequence[bytes]) -> list[str]:
    """What the event loop has to complain about once the decoder has refused."""
    faults: list[str] = []

    async def go() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: faults.append(context["message"]))
        try:
            await decoder.decode(files)
        except FormatError:
            gc.collect()  # now that nobody will ask for the other results any more

    asyncio.run(go())
    gc.collect()
    return faults


def test_many_bad_images_are_refused_quietly(decoder: Decoder) -> None:
    slow = written(picture(size=(1500, 1500)))[:-500]  # the others have failed long before
    assert run_noting_faults(decoder, [slow, *[b"no image at all"] * 9]) == []


def test_the_time_is_told() -> None:
    ticks = iter([10.0, 10.25])
    decoder = Decoder(SIZE, threads=1, max_pixels=10**6, clock=lambda: next(ticks))
    _, seconds = asyncio.run(decoder.decode([written(picture())]))
    assert seconds == 0.25
    decoder.close()


def test_several_are_decoded_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(3)

    def decoding(data: bytes, **options: int) -> object:
        together.wait(30)
        return decode_image(data, size=options["size"])

    monkeypatch.setattr(images, "decode_image", decoding)
    decoder = Decoder(SIZE, threads=3, max_pixels=10**6)
    assert len(decode(decoder, *[written(picture(size=(80, 80)))] * 3)) == 3
    decoder.close()


def deciding(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, int]]:
    """Of each decoding whether it ran in a thread of the pool, and its bound of pixels."""
    seen: list[tuple[bool, int]] = []

    def decoding(data: bytes, *, size: int, max_pixels: int) -> object:
        seen.append((threading.current_thread() is not threading.main_thread(), max_pixels))
        return decode_image(data, size=size, max_pixels=max_pixels)

    monkeypatch.setattr(images, "decode_image", decoding)
    return seen


def test_small_images_need_no_other_thread(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = deciding(monkeypatch)
    assert len(decode(decoder, *[written(picture())] * 4)) == 4
    assert [in_pool for in_pool, _ in seen] == [False] * 4


def test_many_bytes_go_to_the_pool(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = deciding(monkeypatch)
    decode(decoder, *[written(picture())] * 12)
    assert seen == [(True, 25_000_000)] * 12


def test_many_pixels_go_to_the_pool_from_their_header(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = deciding(monkeypatch)
    small = written(Image.new("L", (300, 300)), "PNG")
    assert len(small) < 1024
    decode(decoder, small)
    assert seen == [(False, 128 * 128), (True, 25_000_000)]


def test_a_bound_below_what_is_small_holds_as_well() -> None:
    decoder = Decoder(SIZE, threads=1, max_pixels=20 * 20)
    assert decode(decoder, written(picture(size=(20, 20)))).shape == (1, 3, SIZE, SIZE)
    with pytest.raises(TooLargeError, match="at most 400 pixels"):
        decode(decoder, written(picture(size=(21, 20))))
    decoder.close()
