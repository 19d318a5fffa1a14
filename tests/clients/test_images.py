"""Every form of image arrives as the file, or the pixels, that it was."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rwsstore_client import Client
from tests.clients.fake import FakeService, images_of

RNG = np.random.default_rng(5)
PIXELS = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)


def file_of(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, format=kind)
    return buffer.getvalue()


def pixels_of(data: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "bmp"])
def test_files_go_as_they_are(rws: Client, fake: FakeService, tmp_path: Path, kind: str) -> None:
    data = file_of(kind)
    path = tmp_path / "image"
    path.write_bytes(data)
    with path.open("rb") as file:
        for image in (
            data, bytearray(data), memoryview(data), path, str(path), file, io.BytesIO(data),
        ):  # fmt: skip
            rws.model().predict(image)
            assert fake.seen[-1].content == data
            assert fake.seen[-1].headers["content-type"] == f"image/{kind}"


def test_unknown_bytes_are_left_to_the_service(rws: Client, fake: FakeService) -> None:
    rws.model().predict(b"GIF89a")
    assert fake.seen[-1].headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "HSV", "YCbCr"])
def test_pictures_of_pil(rws: Client, fake: FakeService, mode: str) -> None:
    picture = Image.fromarray(PIXELS).convert("RGB" if mode == "RGBA" else mode.replace("LA", "L"))
    picture = picture.convert(mode)
    rws.model().predict(picture)
    assert fake.seen[-1].headers["content-type"] == "image/png"
    wanted = np.asarray(picture.convert("RGB"))
    assert np.array_equal(pixels_of(fake.seen[-1].content), wanted)


@pytest.mark.parametrize(
    "array",
    [
        PIXELS,
        PIXELS[::-1, ::2],  # not contiguous
        np.asfortranarray(PIXELS),
        PIXELS[:1, :1],
        np.zeros((300, 2, 3), np.uint8),
    ],
)
def test_an_array_arrives_to_the_bit(
    rws: Client, fake: FakeService, array: np.ndarray[Any, Any]
) -> None:
    rws.model().predict(array)
    assert np.array_equal(pixels_of(fake.seen[-1].content), array)


def test_an_array_of_images(rws: Client, fake: FakeService) -> None:
    batch = RNG.integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    assert len(rws.model().predict(batch)) == 3
    images, _ = images_of(fake.seen[-1])
    assert all(
        np.array_equal(pixels_of(sent), image) for sent, image in zip(images, batch, strict=True)
    )


def test_a_list_may_mix_them(rws: Client, fake: FakeService, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(file_of("png"))

    def generated() -> Iterator[Any]:
        yield from (PIXELS, path, str(path), file_of("png"), Image.fromarray(PIXELS))

    for images in (list(generated()), tuple(generated()), generated()):
        assert len(rws.model().predict(images)) == 5
        sent, _ = images_of(fake.seen[-1])
        assert all(np.array_equal(pixels_of(image), PIXELS) for image in sent)


@pytest.mark.parametrize(
    ("image", "kind", "message"),
    [
        ("https://example.org/a.jpg", ValueError, "is a URL; .* fetch it"),
        (5, TypeError, "int is no image"),
        (None, TypeError, "NoneType is no image"),
        ({"a.jpg"}, TypeError, "set is no image"),
        ({"a.jpg": 1}, TypeError, "dict is no image"),
        ([b"x", 5], TypeError, "int is no image"),
        ([[b"x"]], TypeError, "list is no image"),
        (io.StringIO("text"), TypeError, "'rb'"),
        (PIXELS.astype(np.float32), TypeError, "float32"),
        (PIXELS[:, :, 0], ValueError, r"\[5, 7\]"),
        (np.zeros((3, 8, 8), np.uint8), ValueError, r"\[3, 8, 8\]"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, r"\[0, 4, 3\]"),
        (np.zeros((0, 4, 4, 3), np.uint8), ValueError, "no image"),
        ([np.zeros((2, 4, 4, 3), np.uint8)], ValueError, r"expected \[H, W, 3\]"),
    ],
)
def test_what_is_no_image_is_refused_before_anything_is_sent(
    rws: Client, fake: FakeService, image: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        rws.model().predict(image)
    if not isinstance(image, list):
        with pytest.raises(kind):
            rws.model().predict([b"x"] * 100 + [image])
    assert fake.seen == []


def test_a_missing_file_is_not_asked_about(rws: Client, fake: FakeService) -> None:
    with pytest.raises(FileNotFoundError):
        rws.model().predict(["no-such-file.jpg"])
    assert fake.seen == []
