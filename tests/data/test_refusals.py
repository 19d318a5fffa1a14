"""Everything in rwsstore.data that is refused, and how the refusal names it."""

import pytest
import torch

from rwsstore.data import ImageSet, batches, load_images, match_classes, random_crop_flip
from rwsstore.data.sources import parse_dataset
from rwsstore.errors import (
    ConfigError,
    DataError,
    TensorError,
    UnknownNameError,
)
from tests.data.making import image_set

IMAGES = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
LABELS = torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("images", "labels", "classes", "found"),
    [
        (IMAGES.float(), LABELS, ("a", "b"), "torch.float32"),
        (IMAGES[0], LABELS, ("a", "b"), r"\[3, 4, 4\]"),
        (IMAGES[:, :1], LABELS, ("a", "b"), r"\[2, 1, 4, 4\]"),
        (IMAGES[:0], LABELS[:0], ("a", "b"), "there are none"),
        (IMAGES[..., :0], LABELS, ("a", "b"), "empty"),
        (IMAGES, LABELS.int(), ("a", "b"), "torch.int32"),
        (IMAGES, LABELS[:1], ("a", "b"), r"\[1\]; expected int64 \[2\]"),
        (IMAGES, LABELS + 1, ("a", "b"), "from 1 to 2"),
        (IMAGES, LABELS - 1, ("a", "b"), "from -1 to 0"),
        (IMAGES, LABELS, ("a", "a"), "two classes are called 'a'"),
        (IMAGES, LABELS, ("a", ""), "empty name"),
        (IMAGES, LABELS, (), "0 classes"),
    ],
)
def test_an_image_set_checks_itself(
    images: torch.Tensor, labels: torch.Tensor, classes: tuple[str, ...], found: str
) -> None:
    with pytest.raises(DataError, match=found):
        ImageSet(images, labels, classes, "made")


@pytest.mark.parametrize("n", [0, -1, 5])
def test_limit_out_of_range(n: int) -> None:
    with pytest.raises(ConfigError, match=f"cannot keep {n} of 4"):
        image_set([0, 1, 2, 0]).limit(n)


@pytest.mark.parametrize("n", [0, -1, 4, 5])
def test_split_off_out_of_range(n: int) -> None:
    with pytest.raises(ConfigError, match=f"cannot hold out {n} of 4"):
        image_set([0, 1, 2, 0]).split_off(n)


def test_a_negative_seed() -> None:
    with pytest.raises(ConfigError, match="seed is -1"):
        image_set([0, 1]).limit(1, seed=-1)


@pytest.mark.parametrize("indices", [torch.tensor([0, 2]), torch.tensor([-1])])
def test_take_out_of_range(indices: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match=r"0\.\.1"):
        image_set([0, 1]).take(indices)


@pytest.mark.parametrize("indices", [torch.tensor([True, False]), torch.tensor([[0]])])
def test_take_by_anything_but_indices(indices: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match="expected int64"):
        image_set([0, 1]).take(indices)


def test_take_of_nothing() -> None:
    with pytest.raises(DataError, match="there are none"):
        image_set([0, 1]).take(torch.tensor([], dtype=torch.int64))


def test_classes_that_the_model_lacks() -> None:
    with pytest.raises(DataError, match=r"'dog' \(2 such\).*model's are cat, cow"):
        match_classes(image_set([0, 1], ("cat", "dog", "fox")), ("cat", "cow"))


def test_another_number_of_classes() -> None:
    with pytest.raises(DataError, match="3 classes, the model 4"):
        match_classes(image_set([0, 1]), (), num_classes=4)


@pytest.mark.parametrize(("classes", "number"), [((), None), (("a", "b"), 3)])
def test_matching_with_nothing_or_contradictions(
    classes: tuple[str, ...], number: int | None
) -> None:
    with pytest.raises(ConfigError):
        match_classes(image_set([0, 1]), classes, num_classes=number)


def test_augmentation_out_of_range() -> None:
    generator = torch.Generator()
    with pytest.raises(ConfigError, match="-1 pixels"):
        random_crop_flip(IMAGES, padding=-1, generator=generator)
    with pytest.raises(TensorError, match=r"\[3, 4, 4\]"):
        random_crop_flip(IMAGES[0], generator=generator)


@pytest.mark.parametrize(("n", "size"), [(0, 1), (1, 0), (5, -2)])
def test_batches_out_of_range(n: int, size: int) -> None:
    with pytest.raises(ConfigError, match=f"{n} images in batches of {size}"):
        list(batches(n, size, shuffle=None))


@pytest.mark.parametrize(
    ("name", "error", "found"),
    [
        ("digit", UnknownNameError, "Did you mean 'digits'"),
        ("cifar:x", UnknownNameError, "Did you mean 'cifar10"),
        ("", UnknownNameError, "unknown dataset ''"),
        ("/some/path", UnknownNameError, "imagefolder"),
        ("cifar10", ConfigError, "cifar10:PATH"),
        ("imagefolder:", ConfigError, "imagefolder:PATH"),
        ("digits:x", ConfigError, "takes no folder"),
        ("digits:", ConfigError, "takes no folder"),
        ("imagefolder:a\0b", ConfigError, "NUL"),
        ("imagefolder:~nobody-of-that-name/x", ConfigError, "cannot expand"),
    ],
)
def test_dataset_names(name: str, error: type[Exception], found: str) -> None:
    with pytest.raises(error, match=found):
        parse_dataset(name)


def test_an_unknown_split() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown split 'tests'.*'test'"):
        load_images("digits", "tests")  # type: ignore[arg-type]  # what a caller may pass


@pytest.mark.parametrize("size", [0, -3, 4097])
@pytest.mark.parametrize("name", ["digits", "imagefolder:nowhere"])
def test_sizes_out_of_range(name: str, size: int) -> None:
    with pytest.raises(ConfigError, match=f"size is {size}"):
        load_images(name, "train", size=size)


def test_a_size_that_would_fill_the_memory() -> None:
    with pytest.raises(DataError, match=r"GiB; at most 8 GiB.*smaller size"):
        load_images("digits", "test", size=4096)
