from pathlib import Path

import numpy as np
import pytest
import torch

from rwsstore.corruptions import CORRUPTIONS, corrupt
from rwsstore.making import ExportOptions, export_corrupted
from tests.making.exports import small_set

IMAGES = small_set()


def test_arrays_are_severity_by_severity_with_the_labels_repeated(tmp_path: Path) -> None:
    options = ExportOptions(("fog", "shot_noise"), seed=3)
    report = export_corrupted(IMAGES, tmp_path, options)
    assert report.written == ("fog.npy", "shot_noise.npy")
    labels = np.load(tmp_path / "labels.npy")
    assert labels.dtype == np.int64
    assert labels.tolist() == IMAGES.labels.tolist() * 5
    for name in options.corruptions:
        array = np.load(tmp_path / f"{name}.npy")
        assert (array.dtype, array.shape) == (np.uint8, (35, 32, 32, 3))
        for severity in range(1, 6):
            made = torch.from_numpy(array[7 * (severity - 1) : 7 * severity]).permute(0, 3, 1, 2)
            assert torch.equal(made, corrupt(IMAGES.images, name, severity, seed=3))


def test_other_severities_are_written_in_the_order_given(tmp_path: Path) -> None:
    export_corrupted(IMAGES, tmp_path, ExportOptions(("contrast",), severities=(4, 2.5)))
    array = np.load(tmp_path / "contrast.npy", mmap_mode="r")
    expected = [corrupt(IMAGES.images, "contrast", severity, seed=0) for severity in (4, 2.5)]
    assert np.array_equal(array, torch.cat(expected).permute(0, 2, 3, 1).numpy())
    assert len(np.load(tmp_path / "labels.npy")) == 14


def test_an_image_is_the_same_whichever_others_are_written(tmp_path: Path) -> None:
    options = ExportOptions(("gaussian_noise",), severities=(5,))
    export_corrupted(IMAGES, tmp_path / "all", options)
    kept = [1, 4, 6]
    part = IMAGES.take(torch.tensor(kept))
    export_corrupted(part, tmp_path / "part", options, indices=kept)
    whole = np.load(tmp_path / "all" / "gaussian_noise.npy")
    assert np.array_equal(np.load(tmp_path / "part" / "gaussian_noise.npy"), whole[kept])


@pytest.mark.parametrize("workers", [1, 3])
def test_pieces_and_workers_do_not_show(tmp_path: Path, workers: int) -> None:
    many = small_set(2600, 8)  # six pieces
    options = ExportOptions(("shot_noise", "glass_blur"), severities=(3,))
    export_corrupted(many, tmp_path, options, workers=workers)
    for name in options.corruptions:
        expected = corrupt(many.images, name, 3, seed=0).permute(0, 2, 3, 1)
        assert np.array_equal(np.load(tmp_path / f"{name}.npy"), expected.numpy())


@pytest.mark.filterwarnings("ignore::rwsstore.corruptions.UnchangedWarning")
def test_workers_may_share_every_corruption(tmp_path: Path) -> None:
    many = small_set(600, 8)  # two pieces
    options = ExportOptions(tuple(CORRUPTIONS), severities=(5,))
    export_corrupted(many, tmp_path, options, workers=3)
    for name in CORRUPTIONS:
        expected = corrupt(many.images, name, 5, seed=0).permute(0, 2, 3, 1)
        assert np.array_equal(np.load(tmp_path / f"{name}.npy"), expected.numpy()), name
