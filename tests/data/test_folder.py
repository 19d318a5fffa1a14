from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rwsstore.data import Split, load_images
from tests.data.making import Recorder, picture, write_folder


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_flat_folder_is_the_set_for_every_split(tmp_path: Path, split: Split) -> None:
    write_folder(tmp_path / "pets", {"dog": 2, "cat": 3})
    images = load_images(f"imagefolder:{tmp_path}/pets", split)
    assert images.classes == ("cat", "dog")
    assert images.labels.tolist() == [0, 0, 0, 1, 1]
    assert images.name == "imagefolder:pets"


def test_pixels_and_order_are_those_of_the_files(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 2, "b": 1})
    images = load_images(f"imagefolder:{tmp_path}", "train").images
    expected = [np.asarray(picture(seed=seed)) for seed in (0, 1, 100)]
    assert np.array_equal(images.permute(0, 2, 3, 1).numpy(), np.stack(expected))


@pytest.mark.parametrize("second", ["test", "val"])
def test_split_folders_are_chosen_by_split(tmp_path: Path, second: str) -> None:
    write_folder(tmp_path, {"train/x": 2, "train/y": 2, f"{second}/x": 1, f"{second}/y": 1})
    assert len(load_images(f"imagefolder:{tmp_path}", "train")) == 4
    assert len(load_images(f"imagefolder:{tmp_path}", "test")) == 2


def test_test_comes_before_val(tmp_path: Path) -> None:
    layout = {f"{part}/{name}": 1 for part in ("train", "val", "test") for name in "xy"}
    write_folder(tmp_path, layout | {"test/z": 1, "train/z": 1})
    assert len(load_images(f"imagefolder:{tmp_path}", "test")) == 3


def test_a_class_missing_in_test_does_not_shift_the_labels(tmp_path: Path) -> None:
    write_folder(tmp_path, {"train/a": 1, "train/b": 1, "train/c": 1, "test/a": 1, "test/c": 1})
    images = load_images(f"imagefolder:{tmp_path}", "test")
    assert images.classes == ("a", "b", "c")
    assert images.labels.tolist() == [0, 2]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    write_folder(tmp_path, {"car": 1, "plane": 1, "train": 1})
    assert load_images(f"imagefolder:{tmp_path}", "test").classes == ("car", "plane", "train")


def test_hidden_and_foreign_files_are_left_out_and_folders_searched(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 1, "b": 1, ".cache": 1, "a/.trash": 1, "a/more": 2})
    (tmp_path / "a" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "a" / "._000.png").write_bytes(b"x")
    (tmp_path / "a" / "notes.txt").write_text("x")
    (tmp_path / "README").write_text("x")
    images = load_images(f"imagefolder:{tmp_path}", "train")
    assert images.classes == ("a", "b")
    assert images.labels.tolist() == [0, 0, 0, 1]


def test_size_fits_images_of_any_size(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 1}, width=9, height=20)
    write_folder(tmp_path, {"b": 1}, width=5, height=5)
    assert load_images(f"imagefolder:{tmp_path}", "train", size=6).images.shape == (2, 3, 6, 6)


def test_without_a_size_images_keep_theirs(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 1, "b": 1}, width=5, height=7)
    assert load_images(f"imagefolder:{tmp_path}", "train").images.shape == (2, 3, 7, 5)


def test_upper_case_and_every_format_are_read(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    for suffix in ("jpg", "JPEG", "png", "WebP", "bmp"):
        picture().save(tmp_path / "a" / f"x.{suffix}")
    picture().save(tmp_path / "b" / "x.png")
    assert load_images(f"imagefolder:{tmp_path}", "train").labels.tolist() == [0] * 5 + [1]


def test_links_inside_the_dataset_are_followed(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 1, "b": 1})
    (tmp_path / "b" / "again.png").symlink_to(tmp_path / "a" / "000.png")
    images = load_images(f"imagefolder:{tmp_path}", "train")
    assert images.labels.tolist() == [0, 1, 1]
    assert torch.equal(images.images[0], images.images[2])


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    write_folder(tmp_path / "real", {"a": 1, "b": 1})
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert load_images(f"imagefolder:{tmp_path}/link", "train").name == "imagefolder:real"


def test_many_images_keep_their_order_and_are_counted(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a").mkdir()
    picture(2, 2).save(tmp_path / "b" / "x.png")
    colours = np.random.default_rng(0).integers(0, 256, (600, 1, 1, 3), dtype=np.uint8)
    for index, colour in enumerate(colours):
        Image.fromarray(np.tile(colour, (2, 2, 1))).save(tmp_path / "a" / f"{index:04}.bmp")
    recorder = Recorder()
    images = load_images(f"imagefolder:{tmp_path}", "train", progress=recorder)
    assert np.array_equal(images.images[:600, :, 0, 0].numpy(), colours[:, 0, 0])
    assert recorder.totals == recorder.done == {"decoding images": 601}
