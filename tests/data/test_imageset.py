import torch

from tests.data.making import image_set, indices_of


def test_length_and_take_keep_images_and_labels_together() -> None:
    images = image_set([0, 1, 2, 1])
    taken = images.take(torch.tensor([3, 0]))
    assert len(images) == 4
    assert indices_of(taken) == [3, 0]
    assert taken.labels.tolist() == [1, 0]
    assert (taken.classes, taken.name) == (images.classes, images.name)


def test_limit_keeps_order_and_balances_classes() -> None:
    images = image_set([0] * 20 + [1] * 10 + [2] * 10)
    kept = images.limit(9, seed=3)
    assert kept.labels.bincount().tolist() == [3, 3, 3]
    assert indices_of(kept) == sorted(indices_of(kept))


def test_limit_differs_by_seed_and_repeats_for_one() -> None:
    images = image_set([0, 1] * 30)
    assert indices_of(images.limit(10, seed=1)) == indices_of(images.limit(10, seed=1))
    assert indices_of(images.limit(10, seed=1)) != indices_of(images.limit(10, seed=2))


def test_limit_to_all_is_the_whole_set() -> None:
    images = image_set([2, 0, 1, 0])
    assert indices_of(images.limit(4)) == [0, 1, 2, 3]


def test_split_off_divides_without_loss_or_overlap() -> None:
    images = image_set([0, 1, 2] * 10)
    rest, held_out = images.split_off(7, seed=5)
    assert sorted(indices_of(rest) + indices_of(held_out)) == list(range(30))
    assert (len(rest), len(held_out)) == (23, 7)
    assert indices_of(rest) == sorted(indices_of(rest))
    assert indices_of(held_out) == sorted(indices_of(held_out))
    assert sorted(held_out.labels.bincount().tolist()) == [2, 2, 3]


def test_split_off_leaves_the_set_alone() -> None:
    images = image_set([0, 1] * 4)
    before = images.images.clone()
    images.split_off(3)
    assert torch.equal(images.images, before)


def test_representation_is_short() -> None:
    assert repr(image_set([0, 1])) == "ImageSet('made', 2 images of 2x2, 3 classes)"
