import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from rwsstore.corruptions import Corrupt, corrupt
from tests.corruptions.pictures import smooth_pictures

BATCH = smooth_pictures(4)


@pytest.mark.parametrize("name", ["fog", "frost", "zoom_blur"])
def test_on_a_batch_it_is_the_function(name: str) -> None:
    made = Corrupt(name, 3, seed=5)(BATCH, indices=[9, 2, 7, 4])
    assert torch.equal(made, corrupt(BATCH, name, 3, seed=5, indices=[9, 2, 7, 4]))


def test_table_severity_and_overlays_are_handed_on() -> None:
    overlays = (smooth_pictures(1, 300, 300)[0],)
    transform = Corrupt("frost", 2.5, seed=1, table="imagenet", frost_overlays=overlays)
    expected = corrupt(
        BATCH, "frost", 2.5, seed=1, indices=range(4), table="imagenet", frost_overlays=overlays
    )
    assert torch.equal(transform(BATCH, indices=torch.arange(4)), expected)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float16])
def test_one_image_is_a_batch_of_one(dtype: torch.dtype) -> None:
    image = BATCH[2] if dtype == torch.uint8 else BATCH[2].to(dtype) / 255
    made = Corrupt("snow", 4)(image, indices=11)
    assert made.dtype == dtype
    assert torch.equal(made, corrupt(image[None], "snow", 4, seed=0, indices=[11])[0])


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pictures_stay_pictures(mode: str) -> None:
    pixels = BATCH[1].permute(1, 2, 0).numpy()
    picture = Image.fromarray(np.ascontiguousarray(pixels)).convert(mode)
    made = Corrupt("fog", 5, seed=2)(picture, indices=3)
    assert (made.mode, made.size) == (mode, picture.size)
    levels = torch.from_numpy(np.array(picture)).view(32, 32, -1).permute(2, 0, 1)[None]
    expected = corrupt(levels, "fog", 5, seed=2, indices=[3])[0]
    found = torch.from_numpy(np.array(made)).view(32, 32, -1).permute(2, 0, 1)
    assert torch.equal(found, expected)


def test_without_an_index_the_content_decides() -> None:
    transform = Corrupt("gaussian_noise", 5)
    whole = transform(BATCH)
    for place, image in enumerate(BATCH):
        assert torch.equal(transform(image), whole[place])
        assert torch.equal((transform(image / 255) * 255).round().to(torch.uint8), whole[place])
    assert torch.equal(transform(BATCH.flip(0)), whole.flip(0))
    same = transform(torch.full((2, 3, 8, 8), 128, dtype=torch.uint8))
    assert torch.equal(same[0], same[1])
    noise = transform(torch.full((2, 3, 8, 8), 128, dtype=torch.uint8), indices=[0, 1])
    assert not torch.equal(noise[0], noise[1])


def test_every_pixel_and_the_shape_are_content() -> None:
    transform, flat = Corrupt("gaussian_noise", 5), torch.full((3, 8, 8), 128, dtype=torch.uint8)
    other = flat.clone()
    other[2, 7, 7] = 129
    assert not torch.equal(transform(flat)[:, :4], transform(other)[:, :4])
    tall = transform(flat.view(3, 16, 4))
    assert not torch.equal(transform(flat).flatten(), tall.flatten())


def test_another_seed_is_another_image() -> None:
    transform = Corrupt("gaussian_noise", 3)
    other = transform.with_seed(1)
    assert other == Corrupt("gaussian_noise", 3, seed=1)
    assert not torch.equal(transform(BATCH), other(BATCH))


def test_transforms_are_values() -> None:
    transform = Corrupt("fog", 3.0, seed=4)
    assert transform == Corrupt("fog", 3, seed=4) == pickle.loads(pickle.dumps(transform))
    assert len({transform, Corrupt("fog", 3, seed=4), Corrupt("fog", 3)}) == 2
    assert repr(transform) == "Corrupt(name='fog', severity=3, seed=4, table=None)"
