"""Resuming, refusing, counting: what all layouts share."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from rwsstore.corruptions import corrupt
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError, ConflictError, FormatError, RefusedError, StorageFullError
from rwsstore.files import OS_FILES
from rwsstore.making import ExportOptions, export_corrupted
from rwsstore.making.export import LAYOUTS
from tests.making.exports import contents, small_set

IMAGES = small_set()
OPTIONS = ExportOptions(("fog", "gaussian_noise", "contrast"), severities=(1, 3), seed=5)


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """After so many calls of `corrupt`, one is interrupted; then it works again."""
    left = [10**9]

    def stopping(*arguments: Any, **options: Any) -> torch.Tensor:
        left[0] -= 1
        if left[0] < 0:
            left[0] = 10**9
            raise KeyboardInterrupt
        return corrupt(*arguments, **options)

    monkeypatch.setattr("rwsstore.corruptions.corrupt", stopping)
    return left


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("calls", range(6))
def test_an_interrupted_export_goes_on(
    tmp_path: Path, stops: list[int], layout: str, calls: int
) -> None:
    export_corrupted(IMAGES, tmp_path / "whole", OPTIONS, layout=layout)
    stops[0] = calls
    broken = tmp_path / "broken"
    with pytest.raises(KeyboardInterrupt):
        export_corrupted(IMAGES, broken, OPTIONS, layout=layout)
    done = contents(broken)
    times = {name: (broken / name).stat().st_mtime_ns for name in done}
    report = export_corrupted(IMAGES, broken, OPTIONS, layout=layout)
    assert contents(broken) == contents(tmp_path / "whole")
    parts = 3 if layout == "cifar-c" else 6
    assert len(report.kept) + len(report.written) == parts
    assert len(report.kept) == calls * parts // 6
    for name in set(done) - {"labels.npy"}:
        assert (broken / name).stat().st_mtime_ns == times[name]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_finished_export_is_left_alone_and_what_is_missing_made_again(
    tmp_path: Path, layout: str
) -> None:
    out = tmp_path / "out"
    first = export_corrupted(IMAGES, out, OPTIONS, layout=layout)
    before = contents(out)
    assert export_corrupted(IMAGES, out, OPTIONS, layout=layout).kept == first.written
    (out / first.written[0]).rename(tmp_path / "elsewhere")
    report = export_corrupted(IMAGES, out, OPTIONS, layout=layout)
    assert report.written == (first.written[0],)
    assert contents(out) == before


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_a_killed_run_left_is_swept(tmp_path: Path, layout: str) -> None:
    export_corrupted(IMAGES, tmp_path, ExportOptions(("fog",), severities=(1,)), layout=layout)
    (tmp_path / ".rws-0a.tmp").write_bytes(b"half")
    if layout == "imagefolder":
        (tmp_path / "fog" / ".rws-0b.tmp").mkdir()
    export_corrupted(IMAGES, tmp_path, ExportOptions(("fog",), severities=(1,)), layout=layout)
    assert not list(tmp_path.rglob(".rws-*.tmp"))


def test_corruptions_may_be_added(tmp_path: Path) -> None:
    export_corrupted(IMAGES, tmp_path, ExportOptions(("fog",)))
    report = export_corrupted(IMAGES, tmp_path, ExportOptions(("contrast", "fog")))
    assert (report.written, report.kept) == (("contrast.npy",), ("fog.npy",))
    manifest = json.loads((tmp_path / "rws-corrupt.json").read_text())
    assert manifest == report.manifest
    assert manifest["corruptions"] == ["fog", "contrast"]
    assert (manifest["seed"], manifest["severities"]) == (0, [1, 2, 3, 4, 5])
    assert (manifest["table"], manifest["frost"]) == ("cifar", "synthetic")
    assert set(manifest["versions"]) == {"rwsstore", "numpy", "pillow", "torch"}


def other_images() -> ImageSet:
    return ImageSet(IMAGES.images.flip(3), IMAGES.labels, IMAGES.classes, IMAGES.name)


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"options": ExportOptions(("fog",), (1, 3), seed=6)}, "seed 5, now it is 6"),
        ({"options": ExportOptions(("fog",), seed=5)}, "severities"),
        ({"options": ExportOptions(("fog",), (1, 3), 5, table="imagenet")}, "table"),
        ({"layout": "imagefolder"}, "layout"),
        ({"split": "train"}, "split"),
        ({"images": other_images()}, "clean_sha256"),
        ({"images": small_set(6)}, "images"),
        ({"indices": [1, 2, 3, 4, 5, 6, 7]}, "clean_sha256"),
    ],
)
def test_a_copy_made_otherwise_is_refused(
    tmp_path: Path, changed: dict[str, Any], word: str
) -> None:
    export_corrupted(IMAGES, tmp_path, OPTIONS)
    before = contents(tmp_path)
    call: dict[str, Any] = {"images": IMAGES, "options": OPTIONS, **changed}
    with pytest.raises(ConfigError, match=word):
        export_corrupted(folder=tmp_path, **call)
    assert contents(tmp_path) == before


def test_other_frost_photographs_are_another_copy(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, colour in zip(folders, ("white", "grey"), strict=True):
        folder.mkdir()
        Image.new("RGB", (200, 200), colour).save(folder / "frost1.png")
    out = tmp_path / "out"
    report = export_corrupted(IMAGES, out, ExportOptions(("frost",), frost_overlays=folders[0]))
    assert report.manifest["frost"].startswith("overlays:1 files, SHA-256 ")
    with pytest.raises(ConfigError, match="frost"):
        export_corrupted(IMAGES, out, ExportOptions(("frost",), frost_overlays=folders[1]))


def test_folders_of_something_else_are_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds thesis\.txt and no rws-corrupt\.json"):
        export_corrupted(IMAGES, tmp_path, OPTIONS)
    assert set(contents(tmp_path)) == {"thesis.txt"}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"corruptions": [1]}', "\xff"])
def test_a_manifest_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "rws-corrupt.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(FormatError, match="is no manifest"):
        export_corrupted(IMAGES, tmp_path, OPTIONS)


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    with OS_FILES.lock(tmp_path / ".rws-corrupt.lock", 0):
        with pytest.raises(ConflictError, match="another process"):
            export_corrupted(IMAGES, tmp_path, OPTIONS)
        assert contents(tmp_path) == {}


def test_a_full_disk_leaves_nothing_half_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "sync", full)
    with pytest.raises(StorageFullError):
        export_corrupted(IMAGES, tmp_path, OPTIONS, layout="imagefolder")
    assert set(contents(tmp_path)) == {"rws-corrupt.json"}


def test_images_that_cannot_be_changed_are_counted(tmp_path: Path) -> None:
    grey = IMAGES.images.clone()
    grey[:3] = grey[:3, :1]
    images = ImageSet(grey, IMAGES.labels, IMAGES.classes, "part grey")
    report = export_corrupted(images, tmp_path, ExportOptions(("saturate", "fog"), (2, 5)))
    assert list(report.unchanged) == [("saturate", 2, 3)]
    assert report.to_dict()["unchanged"] == [{"corruption": "saturate", "severity": 2, "images": 3}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"corruptions": ()}, "none, or one named twice"),
        ({"corruptions": ("fog", "fog")}, "none, or one named twice"),
        ({"corruptions": ("fgo",)}, "'fog'"),
        ({"severities": ()}, "none, or one named twice"),
        ({"severities": (1, 1.0)}, "none, or one named twice"),
        ({"severities": (0,)}, "from 1 to 5"),
        ({"seed": 0.5}, "seed is 0.5"),
        ({"table": "x"}, "severity table"),
        ({"picture_format": "gif"}, "unknown picture format 'gif'"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        ExportOptions(**{"corruptions": ("fog",), **options})


@pytest.mark.parametrize("indices", [[1], [0, 1, 2, 3, 4, 6, 5], [-1, 0, 1, 2, 3, 4, 5], [0] * 7])
def test_indices_that_do_not_fit(tmp_path: Path, indices: list[int]) -> None:
    with pytest.raises(ConfigError, match="indices for 7 images"):
        export_corrupted(IMAGES, tmp_path / "out", OPTIONS, indices=indices)
    assert not (tmp_path / "out").exists()


def test_no_workers(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="0 workers"):
        export_corrupted(IMAGES, tmp_path / "out", OPTIONS, workers=0)
    assert not (tmp_path / "out").exists()


def test_names_that_cannot_be_folders(tmp_path: Path) -> None:
    images = ImageSet(IMAGES.images, IMAGES.labels, ("..", "a/b", "owl"), "odd")
    with pytest.raises(ConfigError, match="cannot name a folder"):
        export_corrupted(images, tmp_path / "out", OPTIONS, layout="imagefolder")
    with pytest.raises(RefusedError, match="unknown layout 'tar'"):
        export_corrupted(images, tmp_path / "out", OPTIONS, layout="tar")
    assert not (tmp_path / "out").exists()
    export_corrupted(images, tmp_path / "out", OPTIONS)
