"""`rws bundle`: one file, one command, a bundle that the other commands take."""

from pathlib import Path

from PIL import Image

from rwsstore.data import load_images
from tests.cli.conftest import Rws
from tests.making.conftest import TOML

_CORRUPTIONS, _, _ = TOML.partition("[[deltas]]")  # those have tests in the library
_MEASURING = TOML[TOML.index("[measuring]") :]
QUICK = (
    (_CORRUPTIONS + _MEASURING)
    .replace("epochs = 2", "epochs = 1")
    .replace("cycles = 2", "cycles = 1")
    .replace("validation = 100", "validation = 50")
)


def digits_in(folder: Path) -> str:
    """Write a few digits as image files, and say what the dataset is called."""
    for split, images in {
        "train": load_images("digits", "train", size=16).limit(160),
        "test": load_images("digits", "test", size=16).limit(60),
    }.items():
        for number, (pixels, label) in enumerate(zip(images.images, images.labels, strict=True)):
            path = folder / split / images.classes[int(label)] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy()).save(path)
    return f"imagefolder:{folder}"


def test_a_bundle_is_made_used_and_left_alone_by_others(rws: Rws, tmp_path: Path) -> None:
    config, out, work = tmp_path / "digits.toml", tmp_path / "out", tmp_path / "work"
    config.write_text(QUICK)
    images = ["--dataset", digits_in(tmp_path / "images")]
    command = ["bundle", "--config", config, *images, "--out", out, "--work", work]
    made = rws(*command)
    assert made.code == 0, made.err
    assert "2 patches" in made.out
    assert "gap recovered" in made.out
    model = ["--model", out / "model.safetensors", "--store", out / "store"]
    measured = rws("evaluate", *model, *images, "--resamples", 50, "--json").document
    card = rws(*command, "--json").document["report"]  # finished: nothing is measured again
    assert measured["by_bits"]["stored"] == card["by_bits"]["8"]
    assert measured["clean_accuracy_interval"] == card["clean_accuracy_interval"]
    config.write_text(QUICK.replace("layers = 3", "layers = 2"))
    refused = rws(*command)
    assert refused.code == 4
    assert "another configuration" in refused.err
    refused = rws(*command[:-4], "--out", tmp_path / "new", "--work", work)
    assert refused.code == 4
    assert "config.extraction.layers was 3, and is 2 now" in refused.err
    assert not (tmp_path / "new").exists()
