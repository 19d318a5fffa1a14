import cv2
import numpy as np
import pytest
import torch
from sklearn import datasets

from rwsstore.canonical import sha256_hex
from rwsstore.data import ImageSet, load_images
from rwsstore.data.sources import raw_digits


def test_the_embedded_numbers_are_scikit_learns() -> None:
    images, labels = raw_digits()
    published = datasets.load_digits()
    assert np.array_equal(images.numpy(), published.images)
    assert np.array_equal(labels.numpy(), published.target)


@pytest.fixture(scope="module")
def train() -> ImageSet:
    return load_images("digits", "train")


@pytest.fixture(scope="module")
def test() -> ImageSet:
    return load_images("digits", "test")


def test_the_splits_have_their_sizes(train: ImageSet, test: ImageSet) -> None:
    assert train.images.shape == (1297, 3, 32, 32)
    assert test.images.shape == (500, 3, 32, 32)
    assert test.labels.bincount().tolist() == [50] * 10
    assert train.classes == test.classes
    assert train.classes[7] == "seven"
    assert train.name == "digits"


def test_the_splits_never_move(train: ImageSet, test: ImageSet) -> None:
    assert sha256_hex(train.images.numpy().tobytes()) == TRAIN_DIGEST
    assert sha256_hex(test.images.numpy().tobytes()) == TEST_DIGEST


def test_no_digit_is_lost_between_the_splits(train: ImageSet, test: ImageSet) -> None:
    _, labels = raw_digits()
    assert (train.labels.bincount() + test.labels.bincount()).tolist() == labels.bincount().tolist()


def test_images_are_the_digits_enlarged_bilinearly(train: ImageSet, test: ImageSet) -> None:
    published = datasets.load_digits().images.astype(np.float32)
    expected = {
        np.round(cv2.resize(image, (32, 32), interpolation=cv2.INTER_LINEAR) * (255 / 16))
        .astype(np.uint8)
        .tobytes()
        for image in published
    }
    for images in (train.images, test.images):
        assert all(image[0].numpy().tobytes() in expected for image in images)
        assert torch.equal(images[:, 0], images[:, 1])
        assert torch.equal(images[:, 0], images[:, 2])


def test_another_size_is_made_on_request() -> None:
    assert load_images("digits", "test", size=16).images.shape == (500, 3, 16, 16)


TRAIN_DIGEST = "7ba77ffa424ea35ed1369c34ca66664f11d369e51d565efdabaae9d0927186dc"
TEST_DIGEST = "041c57541b8c9293ec3d186c0bddd6a5077ac1b5df10a64d8279b7d9a45b10f8"
