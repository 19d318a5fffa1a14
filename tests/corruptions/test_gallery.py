"""The sheet of one image under everything."""

import numpy as np
import pytest
import torch
from PIL import Image

from rwsstore.corruptions import CORRUPTIONS, corrupt
from rwsstore.corruptions.gallery import draw_gallery
from rwsstore.errors import RefusedError
from tests.corruptions.pictures import smooth_pictures

PICTURE = smooth_pictures(1, 128, 128)[0]


def places(sheet: Image.Image, wanted: torch.Tensor) -> int:
    """How often the middle of a cell, free of its rounded corners, is on the sheet."""
    pixels = np.asarray(sheet)
    inner = wanted[:, 16:-16, 16:-16].permute(1, 2, 0).numpy()
    rows, columns = np.nonzero((pixels == inner[0, 0]).all(2))
    height, width = inner.shape[:2]
    return sum(
        np.array_equal(pixels[row : row + height, column : column + width], inner)
        for row, column in zip(rows, columns, strict=True)
    )


def test_every_cell_is_what_corrupt_makes() -> None:
    names, severities = ("shot_noise", "snow", "contrast"), (1, 2.5, 5)
    sheet = draw_gallery(PICTURE, corruptions=names, severities=severities, seed=3)
    for name in names:
        for severity in severities:
            made = corrupt(PICTURE[None], name, severity, seed=3)[0]
            assert places(sheet, made) == 1
    assert places(sheet, PICTURE) == 1


def test_all_nineteen_fill_two_columns_of_about_the_same_height() -> None:
    sheet = draw_gallery(PICTURE)
    assert sheet.mode == "RGB"
    assert 1.0 < sheet.width / sheet.height < 1.4
    assert sheet.width > 10 * 128


def test_a_few_stand_in_one_column() -> None:
    few = draw_gallery(PICTURE, corruptions=("fog", "snow", "contrast"))
    assert few.width < 9 * 128


def test_the_title_fits_on_a_narrow_sheet() -> None:
    sheet = draw_gallery(PICTURE, corruptions=("fog",), severities=(5,))
    edge = np.asarray(sheet)[:, -16:]
    assert edge.min() == 255  # white down to the margin
    assert sheet.width > 4 * 128


def test_small_images_are_enlarged_pixel_by_pixel() -> None:
    small = smooth_pictures(1)[0]
    sheet = draw_gallery(small, corruptions=("fog",), severities=(2,))
    made = corrupt(small[None], "fog", 2, seed=0)[0]
    assert places(sheet, made.repeat_interleave(4, 1).repeat_interleave(4, 2)) == 1


def test_frost_is_named_as_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    real = "PIL.ImageDraw.ImageDraw.text"

    def text(pen: object, xy: object, text: str, **options: object) -> None:
        written.append(text)

    monkeypatch.setattr(real, text)
    draw_gallery(PICTURE, corruptions=("frost",), severities=(1,))
    assert "synthetic frost" in written
    written.clear()
    overlays = [smooth_pictures(1, 300, 300)[0]]
    draw_gallery(PICTURE, corruptions=("frost",), severities=(1,), frost_overlays=overlays)
    assert "frost" in written
    assert "synthetic frost" not in written


def test_the_sheet_says_which_constants_and_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    def text(pen: object, xy: object, text: str, **options: object) -> None:
        written.append(text)

    monkeypatch.setattr("PIL.ImageDraw.ImageDraw.text", text)
    draw_gallery(PICTURE, corruptions=tuple(CORRUPTIONS)[:2], severities=(1, 3), seed=9)
    assert "2 corruptions at 2 severities" in written
    assert "constants of imagenet, made for 224 px, on images of 128 x 128 px" in written
    assert "seed 9" in written
    assert {"gaussian noise", "shot noise", "1", "3", "clean"} <= set(written)


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (PICTURE.float(), {}, r"expected uint8 \[3, H, W\]"),
        (PICTURE[:1], {}, r"expected uint8 \[3, H, W\]"),
        (PICTURE[None], {}, r"expected uint8 \[3, H, W\]"),
        (PICTURE, {"corruptions": ()}, "at least one corruption"),
        (PICTURE, {"severities": ()}, "at least one"),
        (PICTURE, {"severities": (6,)}, "from 1 to 5"),
        (PICTURE, {"corruptions": ("fgo",)}, "'fog'"),
        (PICTURE, {"table": "x"}, "severity table"),
    ],
)
def test_bad_input_is_refused(
    image: torch.Tensor, options: dict[str, tuple[int, ...]], message: str
) -> None:
    with pytest.raises(RefusedError, match=message):
        draw_gallery(image, **options)  # type: ignore[arg-type]  # that is the point
