"""Every file and folder that rwsstore.data refuses, and how the refusal names it."""

import io
import pickle
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rwsstore.data.images
from rwsstore.data import (
    decode_image,
    load_images,
)
from rwsstore.data.cifar import CIFAR10, load_arrays, load_cifar
from rwsstore.data.imageset import LoadRequest
from rwsstore.errors import (
    DataError,
    FormatError,
    MissingFileError,
    RefusedError,
)
from tests.data import published
from tests.data.making import picture, write_folder


def refuse_folder(folder: Path, error: type[Exception] = DataError) -> str:
    with pytest.raises(error) as caught:
        load_images(f"imagefolder:{folder}", "test")
    return str(caught.value)


def test_a_missing_folder(tmp_path: Path) -> None:
    assert "there is no folder" in refuse_folder(tmp_path / "nowhere", MissingFileError)


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert "there is no folder" in refuse_folder(tmp_path / "file", MissingFileError)


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "holds no folders" in refuse_folder(tmp_path)


def test_images_without_class_folders(tmp_path: Path) -> None:
    picture().save(tmp_path / "x.png")
    assert "one folder for each class" in refuse_folder(tmp_path)


def test_a_single_class(tmp_path: Path) -> None:
    write_folder(tmp_path, {"only": 2})
    assert "only the folder 'only'" in refuse_folder(tmp_path)


def test_one_split_without_the_other(tmp_path: Path) -> None:
    write_folder(tmp_path, {"train/a": 1, "train/b": 1})
    assert "both train/ and test/" in refuse_folder(tmp_path)


def test_a_class_without_images(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 1, "b": 0})
    assert "b holds no images" in refuse_folder(tmp_path)


def test_a_test_split_without_classes(tmp_path: Path) -> None:
    write_folder(tmp_path, {"train/a": 1, "train/b": 1})
    (tmp_path / "test").mkdir()
    assert "test holds no folders" in refuse_folder(tmp_path)


def test_a_class_of_the_test_split_alone(tmp_path: Path) -> None:
    write_folder(tmp_path, {"train/a": 1, "train/b": 1, "test/a": 1, "test/c": 1})
    assert "the class 'c' (1 such)" in refuse_folder(tmp_path)


def test_formats_that_are_not_read_are_named(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 1, "b": 1})
    picture().save(tmp_path / "a" / "scan.tiff")
    picture().save(tmp_path / "a" / "more.gif")
    message = refuse_folder(tmp_path)
    assert "more.gif and 1 more" in message
    assert "convert" in message


def test_unreadable_images_are_named_and_counted(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 9, "b": 1})
    for index in range(7):
        (tmp_path / "a" / f"{index:03}.png").write_bytes(b"nonsense")
    message = refuse_folder(tmp_path)
    assert message.startswith("7 of 10 images cannot be used")
    assert "004.png is not a JPEG" in message
    assert "005.png" not in message
    assert "and 2 more" in message


def test_nothing_but_unreadable_images(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 0, "b": 0})
    for name in ("a", "b"):
        (tmp_path / name / "x.jpg").write_bytes(b"")
    assert refuse_folder(tmp_path).startswith("2 of 2 images")


def test_images_that_differ_in_size(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 2})
    write_folder(tmp_path, {"b": 1}, width=9, height=5)
    message = refuse_folder(tmp_path)
    assert "000.png is 9x5, others 8x8; give a size" in message
    assert "1 of 3" in message


def test_a_set_that_would_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path, {"a": 2, "b": 2})
    monkeypatch.setattr(rwsstore.data.images, "MAX_DECODED_BYTES", 4 * 3 * 64)
    load_images(f"imagefolder:{tmp_path}", "train")
    with pytest.raises(DataError, match="smaller size or fewer"):
        load_images(f"imagefolder:{tmp_path}", "train", size=9)


def link_to_file(root: Path, outside: Path) -> None:
    (root / "a" / "x.png").symlink_to(outside / "c" / "000.png")


def link_class(root: Path, outside: Path) -> None:
    (root / "c").symlink_to(outside / "c")


def link_split(root: Path, outside: Path) -> None:
    (root / "train").symlink_to(outside)
    (root / "test").symlink_to(outside)


@pytest.mark.parametrize("link", [link_to_file, link_class, link_split])
def test_links_that_leave_the_dataset(tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    write_folder(tmp_path / "inside", {"a": 1, "b": 1})
    write_folder(tmp_path / "outside", {"c": 1, "d": 1})
    link(tmp_path / "inside", tmp_path / "outside")
    assert "leads outside the dataset" in refuse_folder(tmp_path / "inside")


@pytest.mark.parametrize("target", ["..", "gone.png", "x.png"])
def test_links_to_folders_to_nothing_and_to_themselves(tmp_path: Path, target: str) -> None:
    write_folder(tmp_path, {"a": 1, "b": 1})
    (tmp_path / "a" / "x.png").symlink_to(target)
    assert "leads to no file" in refuse_folder(tmp_path)


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.scandir", denied)
    assert "cannot be listed" in refuse_folder(tmp_path)


# Single images.


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims to be large, and holds nothing."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    head = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + struct.pack(">I", 0)
        + b"IDAT"
        + struct.pack(">I", zlib.crc32(b"IDAT"))
    )


def encode(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("sides", [(8192, 8193), (10_000, 10_000), (60_000, 60_000)])
@pytest.mark.parametrize("action", ["error", "ignore"])
def test_too_many_pixels_are_refused_from_the_header(sides: tuple[int, int], action: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter(action)  # type: ignore[arg-type]  # one of the two names above
        with pytest.raises(FormatError, match=r"large|at most 67,108,864 pixels"):
            decode_image(png_header(*sides))


def test_a_file_that_is_too_long() -> None:
    with pytest.raises(FormatError, match="at most 67,108,864"):
        decode_image(bytes(64 * 2**20 + 1))


@pytest.mark.parametrize("form", ["GIF", "TIFF", "PPM"])
def test_other_formats(form: str) -> None:
    with pytest.raises(FormatError, match="not a JPEG, PNG, WebP or BMP"):
        decode_image(encode(picture(), form))


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_animations(form: str) -> None:
    frames = [picture(seed=1), picture(seed=2)]
    data = encode(picture(), form, save_all=True, append_images=frames)
    with pytest.raises(FormatError, match="animation"):
        decode_image(data)


def test_sixteen_bits() -> None:
    deep = Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16))
    with pytest.raises(FormatError, match="mode I;16"):
        decode_image(encode(deep, "PNG"))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP"])
def test_files_cut_short(form: str) -> None:
    data = encode(picture(32, 32), form)
    for length in range(0, len(data) - 16, max(1, len(data) // 60)):
        with pytest.raises(FormatError):
            decode_image(data[:length])


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP"])
def test_damaged_files_are_read_or_refused_and_nothing_else(form: str) -> None:
    data = encode(picture(16, 16), form)
    rng = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(data)
        for position in rng.integers(0, len(data), 3):
            damaged[position] ^= 1 << int(rng.integers(8))
        try:
            pixels = decode_image(bytes(damaged), size=16)
        except RefusedError:
            continue
        assert pixels.shape == (16, 16, 3)


# CIFAR.


def write_cifar(root: Path) -> LoadRequest:
    published.write(root / CIFAR10.folder, published.contents())
    return LoadRequest(root, "train")


def test_cifar_files_that_are_not_the_published_ones_are_never_unpickled(tmp_path: Path) -> None:
    request = write_cifar(tmp_path)
    with pytest.raises(DataError, match=r"data_batch_1 is not the published file.*could run code"):
        load_cifar(request, CIFAR10)


def test_cifar_with_files_missing(tmp_path: Path) -> None:
    request = write_cifar(tmp_path)
    (tmp_path / CIFAR10.folder / "data_batch_3").unlink()
    with pytest.raises(DataError, match="lacks data_batch_3; unpack the whole archive"):
        load_cifar(request, CIFAR10)


SHORT = published.noise(2, 0)[:, :-1].copy()


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("data_batch_2", published.py2_dict({"data": published.py2_list([])}), "no data"),
        (
            "data_batch_2",
            published.batch(published.noise(2, 0), [0]),
            r"expected uint8 \[1, 3072\]",
        ),
        ("data_batch_2", published.batch(SHORT, [0, 1]), r"\[2, 3071\]"),
        ("batches.meta", published.py2_dict({}), "no list label_names"),
        ("data_batch_2", b"\x80\x02].", "holds a list"),
        ("data_batch_2", b"\x80\x02}", "is damaged"),
    ],
)
def test_cifar_files_of_another_content(
    tmp_path: Path, name: str, content: bytes, found: str
) -> None:
    contents = published.contents() | {name: content}
    files = published.write(tmp_path / CIFAR10.folder, contents)
    with pytest.raises(FormatError, match=found):
        load_cifar(LoadRequest(tmp_path, "train"), files)


def test_cifar_labels_out_of_range(tmp_path: Path) -> None:
    contents = published.contents() | {"test_batch": published.batch(published.noise(1, 0), [3])}
    files = published.write(tmp_path / CIFAR10.folder, contents)
    with pytest.raises(DataError, match="from 3 to 3"):
        load_cifar(LoadRequest(tmp_path, "test"), files)


def test_cifar_files_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = published.write(tmp_path / CIFAR10.folder, published.contents())
    monkeypatch.setattr("rwsstore.data.cifar._MAX_FILE_BYTES", 1000)
    with pytest.raises(FormatError, match="at most 1000"):
        load_cifar(LoadRequest(tmp_path, "train"), replace(files))


class Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_that_runs_code(tmp_path: Path, protocol: int) -> None:
    data = pickle.dumps({"data": Bomb(tmp_path / "ran")}, protocol=protocol)
    with pytest.raises(FormatError, match="which is not allowed"):
        load_arrays(data, what="batch")
    assert not (tmp_path / "ran").exists()


def test_a_pickle_of_python_objects_in_an_array() -> None:
    data = pickle.dumps({"data": np.array([Path()], dtype=object)}, protocol=2)
    with pytest.raises(FormatError, match=r"pathlib\S*, which is not allowed"):
        load_arrays(data, what="batch")
