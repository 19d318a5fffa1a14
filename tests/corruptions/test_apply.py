import itertools

import pytest
import torch

from rwsstore.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from tests.corruptions.pictures import TABLES, smooth_pictures

NAMES = tuple(CORRUPTIONS)


@pytest.mark.parametrize("name", NAMES)
def test_eight_bits_in_eight_bits_out(name: str) -> None:
    images = smooth_pictures(3)
    before = images.clone()
    for severity in SEVERITIES:
        result = corrupt(images, name, severity, seed=0)
        assert result.dtype == torch.uint8
        assert result.shape == images.shape
        assert not torch.equal(result, images)
        assert torch.equal(images, before)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *((name, torch.float32) for name in NAMES),
        *(("fog", dtype) for dtype in (torch.float16, torch.bfloat16, torch.float64)),
    ],
)
def test_floats_give_the_same_image_as_bytes(name: str, dtype: torch.dtype) -> None:
    images = smooth_pictures(2)
    expected = corrupt(images, name, 3, seed=5)
    result = corrupt(images.to(dtype) / 255, name, 3, seed=5)
    assert result.dtype == dtype
    assert torch.equal(result, expected.to(dtype) / 255)


# Published as they are: saturate drains colour at 1 and 2 and floods it from 3 on, and elastic
# transform trades a large affine jitter for a fine-grained displacement.
@pytest.mark.parametrize("name", sorted(set(NAMES) - {"saturate", "elastic_transform"}))
def test_severity_five_changes_more_than_severity_one(name: str) -> None:
    images = smooth_pictures(8, seed=3)

    def change(severity: int) -> float:
        result = corrupt(images, name, severity, seed=0).double()
        return float((result - images.double()).square().mean())

    assert change(5) > change(1) > 0


@pytest.mark.filterwarnings("ignore::rwsstore.corruptions.UnchangedWarning")  # single pixels
@pytest.mark.parametrize("name", NAMES)
def test_every_table_works_at_odd_sizes(name: str) -> None:
    for height, width in ((1, 1), (2, 9), (20, 13)):
        images = smooth_pictures(2, height, width)
        for table, severity in itertools.product(TABLES, (1, 5)):
            result = corrupt(images, name, severity, seed=0, table=table)
            assert result.shape == images.shape


@pytest.mark.parametrize("name", NAMES)
def test_memory_format_is_kept_and_does_not_matter(name: str) -> None:
    images = smooth_pictures(3, 16, 24)
    last = images.to(memory_format=torch.channels_last)
    result = corrupt(last, name, 4, seed=0)
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(result, corrupt(images, name, 4, seed=0))


@pytest.mark.parametrize("name", NAMES)
def test_grey_images_stay_grey(name: str) -> None:
    grey = smooth_pictures(3)[:, :1]
    result = corrupt(grey, name, 5, seed=0)
    assert result.shape == grey.shape
    assert not torch.equal(result, grey)


@pytest.mark.parametrize("name", ["defocus_blur", "fog", "brightness", "contrast", "snow"])
def test_grey_is_one_channel_of_three_equal_ones(name: str) -> None:
    grey = smooth_pictures(3)[:, :1]
    colour = corrupt(grey.repeat(1, 3, 1, 1), name, 4, seed=0)
    assert torch.equal(corrupt(grey, name, 4, seed=0), colour[:, :1])


def test_an_empty_batch_stays_empty() -> None:
    assert corrupt(smooth_pictures(0), "fog", 1, seed=0).shape == (0, 3, 32, 32)


def test_the_shorter_side_chooses_the_table() -> None:
    images = smooth_pictures(2, 64, 70)
    chosen = corrupt(images, "gaussian_noise", 5, seed=0)
    assert torch.equal(chosen, corrupt(images, "gaussian_noise", 5, seed=0, table="tiny_imagenet"))
    assert not torch.equal(chosen, corrupt(images, "gaussian_noise", 5, seed=0, table="cifar"))


def test_floats_between_levels_go_to_the_nearest() -> None:
    images = smooth_pictures(2)
    off = (images.double() / 255 + 0.4 / 255).clamp(max=1)
    assert torch.equal(
        (corrupt(off, "contrast", 2, seed=0) * 255).round().to(torch.uint8),
        corrupt(images, "contrast", 2, seed=0),
    )


def test_requires_grad_is_left_behind() -> None:
    images = (smooth_pictures(1).float() / 255).requires_grad_()
    assert not corrupt(images, "fog", 1, seed=0).requires_grad


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("name", NAMES)
def test_images_on_a_gpu_come_out_the_same_and_stay_there(name: str) -> None:
    images = smooth_pictures(3)
    result = corrupt(images.cuda(), name, 4, seed=2)
    assert result.is_cuda
    assert torch.equal(result.cpu(), corrupt(images, name, 4, seed=2))
