import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rwsstore.corruptions import corrupt
from rwsstore.data import load_images
from tests.cli.conftest import Rws

COMMON = ("corrupt", "--dataset", "digits", "--limit", 20, "--corruptions", "fog,saturate")


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_cifar_c_files_are_what_the_library_makes(rws: Rws, tmp_path: Path) -> None:
    outcome = rws(*COMMON, "--out", tmp_path / "c", "--seed", 4, "--json")
    assert outcome.code == 0
    assert outcome.document["written"] == ["fog.npy", "saturate.npy"]
    whole = load_images("digits", "test")
    made = torch.from_numpy(np.load(tmp_path / "c" / "fog.npy")).permute(0, 3, 1, 2)
    labels = np.load(tmp_path / "c" / "labels.npy")
    # A limited copy is a part of the whole one: its images keep their indices.
    expected = corrupt(whole.images, "fog", 2, seed=4)
    places = [int((expected == image).flatten(1).all(1).nonzero()[0]) for image in made[20:40]]
    assert places == sorted(places)
    assert len(set(places)) == 20
    assert labels.tolist() == whole.labels[places].tolist() * 5


def test_it_says_what_was_done_and_what_could_not_be(rws: Rws, tmp_path: Path) -> None:
    outcome = rws(*COMMON, "--out", tmp_path / "c", "--severities", "1,4", "--size", 48)
    assert outcome.code == 0
    assert f"wrote 2 files into {tmp_path / 'c'}" in outcome.out
    assert "20 images of digits, severities 1, 4" in outcome.out
    assert "constants of tiny_imagenet, made for 64 px, on images of 48 x 48 px" in outcome.out
    assert "saturate at severity 1 could not change 20 images" in outcome.out
    assert "frost" not in outcome.out
    assert "corrupting" in outcome.err
    again = rws(*COMMON, "--out", tmp_path / "c", "--severities", "1,4", "--size", 48)
    assert "wrote 0 files" in again.out
    assert "2 files were complete already" in again.out


def test_image_folders_at_severities_in_between(rws: Rws, tmp_path: Path) -> None:
    options = ("--layout", "imagefolder", "--severities", "1.5,4-5", "--out", tmp_path / "c")
    outcome = rws(*COMMON, *options, "--json")
    assert outcome.code == 0
    assert outcome.document["written"][:3] == ["fog/1.5", "fog/4", "fog/5"]
    assert len(list((tmp_path / "c" / "fog" / "1.5").glob("*/*.png"))) == 20
    manifest = json.loads((tmp_path / "c" / "rws-corrupt.json").read_text())
    assert manifest == outcome.document["manifest"]


def test_frost_is_named_as_what_it_is(rws: Rws, tmp_path: Path, photograph: Path) -> None:
    base = ("corrupt", "--dataset", "digits", "--limit", 10, "--corruptions", "frost")
    assert "frost: synthetic" in rws(*base, "--out", tmp_path / "a").out
    overlays = tmp_path / "overlays"
    overlays.mkdir()
    photograph.rename(overlays / "frost1.png")
    outcome = rws(*base, "--out", tmp_path / "b", "--frost-overlays", overlays)
    assert "frost: overlays:1 files" in outcome.out


@pytest.mark.parametrize("name", ["sheet.png", "sheet.jpg"])
def test_the_gallery_is_a_picture(rws: Rws, tmp_path: Path, photograph: Path, name: str) -> None:
    out = tmp_path / name
    names = ("--corruptions", "noise,frost", "--severities", "1,5")
    outcome = rws("corrupt", "--gallery", photograph, "--out", out, "--size", 48, *names, "--json")
    assert outcome.code == 0
    assert outcome.document == {
        "written": str(out),
        "table_note": "constants of tiny_imagenet, made for 64 px, on images of 48 x 48 px",
        "frost": "synthetic",
        "unchanged": [],
    }
    with Image.open(out) as sheet:
        assert sheet.format == ("PNG" if name.endswith("png") else "JPEG")
        assert min(sheet.size) > 400


def test_the_gallery_of_a_grey_image_says_what_saturate_cannot(rws: Rws, tmp_path: Path) -> None:
    grey = tmp_path / "grey.png"
    Image.linear_gradient("L").save(grey)
    options = ("--corruptions", "saturate", "--out", tmp_path / "sheet.png")
    outcome = rws("corrupt", "--gallery", grey, *options)
    assert outcome.out.count("cannot change grey images") == 3
    assert "Warning" not in outcome.err


def test_the_gallery_has_a_size_of_its_own(rws: Rws, tmp_path: Path, photograph: Path) -> None:
    options = ("--corruptions", "fog", "--out", tmp_path / "sheet.png")
    outcome = rws("corrupt", "--gallery", photograph, *options)
    assert "constants of imagenet, made for 224 px\n" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--out", "x"], 2, "give --dataset NAME"),
        (["--dataset", "digits", "--gallery", "photo.png", "--out", "x"], 2, "give --dataset"),
        (["--dataset", "digits"], 2, "--out"),
        (["--dataset", "digits", "--out", "x", "--layout", "tar"], 2, "'tar' is not one of"),
        (["--dataset", "digit", "--out", "x"], 4, "Did you mean 'digits'?"),
        (["--dataset", "digits", "--out", "x", "--corruptions", "fgo"], 4, "'fog'"),
        (["--dataset", "digits", "--out", "x", "--severities", "6"], 4, "1 to 5"),
        (["--dataset", "digits", "--out", "x", "--severities", "5.5"], 4, "5.5"),
        (["--dataset", "digits", "--out", "x", "--severities", "1.x"], 4, "'1.x'"),
        (["--dataset", "digits", "--out", "x", "--severities", "2,2.0"], 4, "twice"),
        (["--dataset", "digits", "--out", "x", "--table", "cifar10"], 4, "severity table"),
        (["--dataset", "digits", "--out", "x", "--picture-format", "jpeg"], 4, "imagefolder"),
        (["--dataset", "digits", "--out", "x", "--frost-overlays", "no"], 3, "no folder no"),
        (["--dataset", "digits", "--out", "photo.png"], 1, "photo.png"),
        (["--gallery", "photo.png", "--out", "x"], 4, "ends in .png, .jpg, .jpeg"),
        (["--gallery", "none.png", "--out", "x.png"], 3, "none.png"),
        (["--gallery", "text.png", "--out", "x.png"], 4, "text.png is not a JPEG"),
        (["--gallery", "photo.png", "--out", "no/x.png"], 3, "no/x.png"),
        (["--gallery", "photo.png", "--out", "x.png", "--limit", "5"], 4, "--limit goes with"),
        (["--gallery", "photo.png", "--out", "x.png", "--split", "test"], 4, "--split goes with"),
    ],
)
def test_bad_input_is_refused(
    rws: Rws,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    photograph: Path,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.png").write_text("no picture")
    outcome = (
        rws("corrupt", *arguments, "--corruptions", "fog")
        if code == 1
        else rws("corrupt", *arguments)
    )
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err
    assert {path.name for path in tmp_path.iterdir()} == {"photo.png", "text.png"}


def test_another_configuration_in_the_same_folder_is_refused(rws: Rws, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "c")
    assert rws(*COMMON, *out, "--severities", "5").code == 0
    outcome = rws(*COMMON, *out, "--severities", "4")
    assert (outcome.code, outcome.out) == (4, "")
    assert "was made with severities [5], now it is [4]" in outcome.err
