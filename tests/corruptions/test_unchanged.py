"""A corruption that leaves an image as it is says so, once."""

import warnings

import pytest
import torch
from torch import Tensor

from rwsstore.corruptions import CORRUPTIONS, UnchangedWarning, corrupt
from tests.corruptions.pictures import smooth_pictures

GREY = smooth_pictures(2)[:, :1].repeat(1, 3, 1, 1)
FLAT = torch.tensor([60, 90, 120], dtype=torch.uint8).view(1, 3, 1, 1).repeat(1, 1, 32, 32)
BLACK = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
SPARED = {"grey images": GREY, "images of one colour": FLAT, "black images": BLACK}


@pytest.mark.parametrize("severity", [1, 2, 2.5, 3])
@pytest.mark.parametrize("images", [GREY, GREY[:, :1], GREY.float() / 255])
def test_saturate_says_that_it_cannot_change_grey_images(images: Tensor, severity: float) -> None:
    with pytest.warns(UnchangedWarning, match=rf"saturate at severity {severity} .*grey images"):
        result = corrupt(images, "saturate", severity, seed=0)
    assert torch.equal(result, images)


@pytest.mark.parametrize("severity", [4, 5])
def test_saturate_tints_grey_images_at_the_upper_severities(severity: int) -> None:
    assert not torch.equal(corrupt(GREY, "saturate", severity, seed=0), GREY)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, row in CORRUPTIONS.items()
        if row.spares in SPARED and name != "jpeg_compression"
    ],
)
def test_what_each_spares_is_true(name: str) -> None:
    spares = CORRUPTIONS[name].spares
    with pytest.warns(UnchangedWarning, match=f"{name} at severity 1 cannot change {spares}"):
        corrupt(SPARED[spares], name, 1, seed=0)


def test_brightness_cannot_brighten_what_is_bright() -> None:
    with pytest.warns(UnchangedWarning, match="full brightness"):
        corrupt(torch.full((1, 3, 8, 8), 255, dtype=torch.uint8), "brightness", 5, seed=0)


def test_one_spared_image_in_a_batch_is_enough() -> None:
    batch = torch.cat([smooth_pictures(130, seed=2), GREY, smooth_pictures(3, seed=3)])
    with pytest.warns(UnchangedWarning):
        corrupt(batch, "saturate", 2, seed=0)


@pytest.mark.parametrize("name", tuple(CORRUPTIONS))
def test_ordinary_images_bring_no_warning(name: str) -> None:
    for severity in (1, 5):
        corrupt(smooth_pictures(4, seed=5), name, severity, seed=0)


def test_it_is_said_once_for_a_line_that_calls() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        for _ in range(3):
            corrupt(GREY, "saturate", 2, seed=0)
        corrupt(GREY, "saturate", 2, seed=0)
    assert len(told) == 2
    assert {warning.filename for warning in told} == {__file__}
