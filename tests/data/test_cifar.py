import pickle
from pathlib import Path

import numpy as np
import pytest

from rwsstore.data.cifar import CIFAR10, CIFAR100, CifarFiles, load_arrays, load_cifar
from rwsstore.data.imageset import LoadRequest
from rwsstore.models.vision_shim import import_torchvision
from tests.data import published
from tests.data.making import Recorder


@pytest.mark.parametrize("dataset", [CIFAR10, CIFAR100])
def test_the_published_form_is_read(tmp_path: Path, dataset: CifarFiles) -> None:
    files = published.write(tmp_path / dataset.folder, published.contents(dataset), dataset)
    train = load_cifar(LoadRequest(tmp_path, "train"), files)
    parts = len(dataset.train)
    expected = np.concatenate([published.noise(2, seed) for seed in range(parts)])
    assert np.array_equal(train.images.numpy(), expected.reshape(-1, 3, 32, 32))
    assert train.labels.tolist() == [y for seed in range(parts) for y in (seed % 3, 2)]
    assert (train.classes, train.name) == (published.NAMES, dataset.name)


def test_the_test_split_is_its_own_file(tmp_path: Path) -> None:
    files = published.write(tmp_path / CIFAR10.folder, published.contents())
    test = load_cifar(LoadRequest(tmp_path, "test"), files)
    assert np.array_equal(test.images.numpy().reshape(3, -1), published.noise(3, 99))
    assert test.labels.tolist() == [0, 1, 2]


def test_the_archives_own_folder_may_be_named(tmp_path: Path) -> None:
    folder = tmp_path / CIFAR10.folder
    files = published.write(folder, published.contents())
    assert len(load_cifar(LoadRequest(folder, "test"), files)) == 3


def test_a_size_is_made_and_reading_reported(tmp_path: Path) -> None:
    files = published.write(tmp_path / CIFAR10.folder, published.contents())
    recorder = Recorder()
    images = load_cifar(LoadRequest(tmp_path, "train", 16, recorder), files)
    assert images.images.shape == (10, 3, 16, 16)
    assert recorder.done == recorder.totals == {"reading cifar10": 6, "resizing cifar10": 10}


@pytest.mark.parametrize(("ours", "name"), [(CIFAR10, "CIFAR10"), (CIFAR100, "CIFAR100")])
def test_names_and_sums_are_torchvisions(ours: CifarFiles, name: str) -> None:
    import_torchvision()
    from torchvision import datasets

    theirs = getattr(datasets, name)
    assert list(ours.train.items()) == [tuple(row) for row in theirs.train_list]
    assert list(ours.test.items()) == [tuple(row) for row in theirs.test_list]
    assert ours.meta == (theirs.meta["filename"], theirs.meta["md5"])
    assert (ours.folder, ours.url) == (theirs.base_folder, theirs.url)
    assert (ours.archive_md5, ours.names_key) == (theirs.tgz_md5, theirs.meta["key"])


@pytest.mark.parametrize("protocol", [2, 4])
def test_arrays_of_todays_numpy_are_read_too(protocol: int) -> None:
    array = published.noise(2, 0)
    data = pickle.dumps({"data": array, "labels": [1, 2]}, protocol=protocol)
    content = load_arrays(data, what="batch")
    assert np.array_equal(content["data"], array)
    assert content["labels"] == [1, 2]
