import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rwsstore.data import batches, random_crop_flip


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_images(count: int, side: int = 4) -> Tensor:
    return torch.randint(1, 256, (count, 3, side, side), generator=generator(9)).to(torch.uint8)


def where_from(cut: Tensor, image: Tensor, padding: int) -> tuple[int, int, bool] | None:
    """Find the window (row, column, mirrored) of the padded image that `cut` is."""
    side = image.shape[-1]
    padded = F.pad(image, (padding,) * 4)
    shifts = range(2 * padding + 1)
    for row, column, mirrored in itertools.product(shifts, shifts, (False, True)):
        window = padded[:, row : row + side, column : column + side]
        if torch.equal(cut, window.flip(2) if mirrored else window):
            return row, column, mirrored
    return None


def test_every_image_is_a_window_of_its_own_padded_image() -> None:
    images = some_images(200)
    cut = random_crop_flip(images, padding=1, generator=generator())
    found = [where_from(c, i, 1) for c, i in zip(cut, images, strict=True)]
    # 3 rows, 3 columns, 2 sides: in 200 images all of them occur.
    assert set(found) == set(itertools.product(range(3), range(3), (False, True)))


def test_flip_off_never_mirrors() -> None:
    images = some_images(50)
    cut = random_crop_flip(images, padding=1, flip=False, generator=generator())
    found = [where_from(c, i, 1) for c, i in zip(cut, images, strict=True)]
    assert all(place is not None and not place[2] for place in found)


def test_padding_is_black_and_reaches_four_pixels_by_default() -> None:
    images = torch.full((400, 3, 8, 8), 255, dtype=torch.uint8)
    cut = random_crop_flip(images, generator=generator())
    black_rows = (cut[:, 0] == 0).all(2).sum(1)
    assert set(black_rows.tolist()) == {0, 1, 2, 3, 4}
    assert set(torch.unique(cut).tolist()) == {0, 255}


def test_no_padding_and_no_flip_is_the_image_itself() -> None:
    images = some_images(5)
    assert torch.equal(
        random_crop_flip(images, padding=0, flip=False, generator=generator()), images
    )


def test_the_generator_decides_and_the_input_stays() -> None:
    images = some_images(20)
    before = images.clone()
    first = random_crop_flip(images, generator=generator(1))
    assert torch.equal(first, random_crop_flip(images, generator=generator(1)))
    assert not torch.equal(first, random_crop_flip(images, generator=generator(2)))
    assert torch.equal(images, before)


def test_floats_are_cut_like_bytes() -> None:
    images = some_images(20)
    as_float = random_crop_flip(images.float() / 255, generator=generator())
    as_bytes = random_crop_flip(images, generator=generator())
    assert as_float.dtype == torch.float32
    assert torch.equal(as_float, as_bytes.float() / 255)


def test_images_need_not_be_square() -> None:
    images = torch.randint(0, 256, (6, 3, 4, 9)).to(torch.uint8)
    assert random_crop_flip(images, padding=2, generator=generator()).shape == images.shape


@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"), [(7, 3, [3, 3, 1]), (4, 4, [4]), (2, 9, [2])]
)
def test_batches_keep_the_order_without_a_generator(
    n: int, batch_size: int, sizes: list[int]
) -> None:
    found = list(batches(n, batch_size, shuffle=None))
    assert [len(batch) for batch in found] == sizes
    assert torch.cat(found).tolist() == list(range(n))
    assert all(batch.dtype == torch.int64 for batch in found)


def test_shuffled_batches_hold_each_index_once_and_follow_the_generator() -> None:
    first = torch.cat(list(batches(50, 8, shuffle=generator(3))))
    assert sorted(first.tolist()) == list(range(50))
    assert first.tolist() != list(range(50))
    assert torch.equal(first, torch.cat(list(batches(50, 8, shuffle=generator(3)))))


def test_one_generator_gives_another_order_each_pass() -> None:
    shuffle = generator()
    passes = [torch.cat(list(batches(50, 8, shuffle=shuffle))) for _ in range(2)]
    assert not torch.equal(passes[0], passes[1])
