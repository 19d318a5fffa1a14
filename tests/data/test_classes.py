import torch

from rwsstore.data import match_classes
from tests.data.making import image_set


def test_labels_follow_the_models_order() -> None:
    images = image_set([0, 1, 2, 0], ("cat", "dog", "fox"))
    matched = match_classes(images, ("dog", "fox", "cat"))
    assert matched.labels.tolist() == [2, 0, 1, 2]
    assert matched.classes == ("dog", "fox", "cat")
    assert torch.equal(matched.images, images.images)


def test_a_dataset_may_hold_some_classes_only() -> None:
    matched = match_classes(image_set([0, 1], ("b", "d")), ("a", "b", "c", "d"))
    assert matched.labels.tolist() == [1, 3]


def test_the_same_classes_change_nothing() -> None:
    images = image_set([0, 1])
    assert match_classes(images, ("a", "b", "c")) is images


def test_without_names_the_number_is_enough() -> None:
    images = image_set([0, 1])
    assert match_classes(images, (), num_classes=3) is images
