"""An image's result depends only on (image, seed, corruption, severity, index)."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from rwsstore.corruptions import CORRUPTIONS, corrupt
from tests.corruptions.pictures import smooth_pictures

NAMES = tuple(CORRUPTIONS)
RANDOM = tuple(
    name
    for name in NAMES
    if name
    not in {
        "defocus_blur",
        "zoom_blur",
        "gaussian_blur",
        "brightness",
        "contrast",
        "pixelate",
        "jpeg_compression",
        "saturate",
    }
)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# Spatter is water up to severity 3, and mud from 4 on.
@pytest.mark.parametrize(("name", "severity"), [("spatter", 3), *((name, 5) for name in NAMES)])
def test_batch_and_order_do_not_matter(name: str, severity: int) -> None:
    images = smooth_pictures(93)  # more than are worked on at a time
    whole = corrupt(images, name, severity, seed=1)
    order = torch.randperm(93, generator=torch.Generator().manual_seed(0))
    permuted = corrupt(images[order], name, severity, seed=1, indices=order)
    assert torch.equal(permuted, whole[order])
    for place in (0, 17, 92):
        alone = corrupt(images[place : place + 1], name, severity, seed=1, indices=[place])
        assert torch.equal(alone[0], whole[place])


@pytest.mark.parametrize("name", NAMES)
def test_batch_does_not_matter_at_other_sizes(name: str) -> None:
    images = smooth_pictures(5, 67, 50)
    whole = corrupt(images, name, 5, seed=1)
    alone = corrupt(images[3:4], name, 5, seed=1, indices=torch.tensor([3]))
    assert torch.equal(alone[0], whole[3])


@pytest.mark.parametrize("name", NAMES)
def test_the_number_of_threads_does_not_matter(name: str) -> None:
    images = smooth_pictures(12, 40, 36)
    with threads(1):
        one = corrupt(images, name, 5, seed=1)
    with threads(2):
        two = corrupt(images, name, 5, seed=1)
    assert torch.equal(one, two)


@pytest.mark.parametrize("name", RANDOM)
def test_seed_and_index_matter(name: str) -> None:
    images = smooth_pictures(1).repeat(2, 1, 1, 1)
    result = corrupt(images, name, 4, seed=1)
    assert not torch.equal(result[0], result[1])
    assert not torch.equal(result, corrupt(images, name, 4, seed=2))
    assert torch.equal(result, corrupt(images, name, 4, seed=1))


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(RANDOM)))
def test_the_others_use_no_chance(name: str) -> None:
    images = smooth_pictures(2)
    assert torch.equal(corrupt(images, name, 4, seed=1), corrupt(images, name, 4, seed=2))


def test_global_random_state_is_left_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for name in NAMES:
        corrupt(smooth_pictures(1), name, 5, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


class Corrupted(Dataset[Tensor]):
    """Each image under each corruption, made where it is asked for."""

    images = smooth_pictures(4)

    def __len__(self) -> int:
        return len(self.images) * len(NAMES)

    def __getitem__(self, place: int) -> Tensor:
        number, index = divmod(place, len(self.images))
        one = self.images[index : index + 1]
        return corrupt(one, NAMES[number], 5, seed=9, indices=[index])[0]


# With one core, torch advises against two workers; that they agree is the point.
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_workers_of_a_data_loader_make_the_same_images() -> None:
    loader = DataLoader(Corrupted(), batch_size=4, num_workers=2)
    for name, found in zip(NAMES, loader, strict=True):
        assert torch.equal(found, corrupt(Corrupted.images, name, 5, seed=9))
