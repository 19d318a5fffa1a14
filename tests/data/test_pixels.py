import io

import numpy as np
import pytest
from PIL import Image
from PIL.Image import Resampling

from rwsstore.data import decode_image
from rwsstore.data.images import fit_image
from tests.data.making import picture


def encode(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("form", "options"), [("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True})]
)
def test_lossless_formats_come_back_to_the_byte(form: str, options: dict[str, object]) -> None:
    image = picture(9, 5)
    assert np.array_equal(decode_image(encode(image, form, **options)), np.asarray(image))


def test_jpeg_comes_back_about_the_same() -> None:
    image = picture(16, 16).resize((64, 64))
    decoded = decode_image(encode(image, "JPEG", quality=95))
    assert np.abs(decoded.astype(int) - np.asarray(image).astype(int)).mean() < 8


def test_orientation_is_honoured() -> None:
    image = picture(10, 4)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter; to be seen turned back
    upright = np.asarray(image.transpose(Image.Transpose.ROTATE_270))
    assert np.array_equal(decode_image(encode(image, "PNG", exif=exif)), upright)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
def test_other_modes_become_rgb(mode: str) -> None:
    image = picture().convert(mode)
    decoded = decode_image(encode(image, "PNG"))
    assert decoded.shape == (8, 8, 3)
    assert np.array_equal(decoded, np.asarray(image.convert("RGBA").convert("RGB")))


def test_a_palette_with_transparency_warns_of_nothing() -> None:
    image = picture().convert("P")
    decoded = decode_image(encode(image, "PNG", transparency=bytes(range(256))))
    assert np.array_equal(decoded, np.asarray(image.convert("RGB")))


def test_a_cmyk_photograph_becomes_rgb() -> None:
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red, green, blue = decode_image(encode(image, "JPEG", quality=100))[4, 4]
    assert red > 200
    assert max(green, blue) < 60


def test_a_photograph_with_a_preview_behind_it_is_no_animation() -> None:
    image = picture(16, 16)
    data = encode(image, "MPO", save_all=True, append_images=[picture(8, 8)])
    assert np.array_equal(decode_image(data), decode_image(encode(image, "JPEG")))


def test_an_image_that_fits_is_left_alone() -> None:
    image = picture(8, 8)
    assert np.array_equal(decode_image(encode(image, "PNG"), size=8), np.asarray(image))


def test_only_the_crop_happens_where_the_shorter_side_fits() -> None:
    image = picture(12, 8)
    cropped = np.asarray(image)[:, 2:10]
    assert np.array_equal(decode_image(encode(image, "PNG"), size=8), cropped)


@pytest.mark.parametrize(("width", "height"), [(64, 64), (96, 64), (64, 128)])
def test_fitting_is_resizing_then_cropping_the_middle(width: int, height: int) -> None:
    image = picture(width, height)
    scale = 16 / min(width, height)
    large = image.resize((round(width * scale), round(height * scale)), Resampling.BILINEAR)
    left, top = (large.width - 16) // 2, (large.height - 16) // 2
    expected = np.asarray(large.crop((left, top, left + 16, top + 16))).astype(int)
    # Pillow rounds its fixed-point weights, so one grey level may differ.
    assert np.abs(np.asarray(fit_image(image, 16)).astype(int) - expected).max() <= 1


def test_fitting_a_very_long_image_stays_small() -> None:
    assert fit_image(Image.new("RGB", (2**20, 1)), 224).size == (224, 224)


def test_enlarging_works_too() -> None:
    assert decode_image(encode(picture(4, 6), "PNG"), size=32).shape == (32, 32, 3)
