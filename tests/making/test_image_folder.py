from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rwsstore.corruptions import corrupt
from rwsstore.data import load_images
from rwsstore.making import ExportOptions, export_corrupted
from tests.making.exports import contents, small_set

IMAGES = small_set()


def test_pictures_lie_by_corruption_severity_and_class_and_are_exact(tmp_path: Path) -> None:
    options = ExportOptions(("snow",), severities=(1, 5), seed=2)
    report = export_corrupted(IMAGES, tmp_path, options, layout="imagefolder")
    assert report.written == ("snow/1", "snow/5")
    for severity in (1, 5):
        expected = corrupt(IMAGES.images, "snow", severity, seed=2)
        for index, label in enumerate(IMAGES.labels.tolist()):
            path = tmp_path / "snow" / str(severity) / IMAGES.classes[label] / f"{index:05d}.png"
            with Image.open(path) as picture:
                found = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
            assert torch.equal(found, expected[index])
    assert len(contents(tmp_path)) == 2 * 7 + 1


def test_it_reads_back_as_a_data_set(tmp_path: Path) -> None:
    options = ExportOptions(("fog",), severities=(2.5,))
    export_corrupted(IMAGES, tmp_path, options, layout="imagefolder")
    read = load_images(f"imagefolder:{tmp_path / 'fog' / '2.5'}", "test")
    order = torch.argsort(IMAGES.labels, stable=True)
    assert read.classes == IMAGES.classes
    assert torch.equal(read.labels, IMAGES.labels[order])
    assert torch.equal(read.images, corrupt(IMAGES.images, "fog", 2.5, seed=0)[order])


def test_pictures_are_named_by_their_index_in_the_data_set(tmp_path: Path) -> None:
    options = ExportOptions(("fog",), severities=(1,))
    part = IMAGES.take(torch.tensor([0, 3]))
    export_corrupted(part, tmp_path, options, layout="imagefolder", indices=[5, 1_234_567])
    names = sorted(path.name for path in (tmp_path / "fog" / "1" / "cat").iterdir())
    assert names == ["0000005.png", "1234567.png"]


@pytest.mark.filterwarnings("error")
def test_jpeg_when_asked_for(tmp_path: Path) -> None:
    options = ExportOptions(("fog",), severities=(1,), picture_format="jpeg")
    export_corrupted(IMAGES, tmp_path, options, layout="imagefolder")
    with Image.open(tmp_path / "fog" / "1" / "cat" / "00000.jpg") as picture:
        assert (picture.format, picture.size) == ("JPEG", (32, 32))
