from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rwsstore.corruptions import corrupt
from rwsstore.data import load_images
from rwsstore.models import load_clean_model
from rwsstore.probes import feature_maps
from rwsstore.runtime import LiveModel
from rwsstore.store import Store
from tests.cli.conftest import Bench, Rws


@pytest.fixture
def digit(tmp_path: Path) -> Path:
    path = tmp_path / "digit.png"
    pixels = load_images("digits", "test", size=16).images[3].permute(1, 2, 0).contiguous()
    Image.fromarray(pixels.numpy()).save(path)
    return path


def named(bench: Bench, digit: Path) -> tuple[object, ...]:
    return ("features", "--model", bench.model, "--store", bench.store, "--image", digit)


def test_it_says_and_draws_what_the_library_finds(bench: Bench, rws: Rws, digit: Path) -> None:
    out = digit.with_name("maps.png")
    corrupted = ("--corruption", "fog", "--severity", 4, "--seed", 2)
    options = ("--patch", "fog=0.5,contrast", "--layers", "1,conv3", "--channels", 3)
    outcome = rws(*named(bench, digit), *corrupted, *options, "--out", out, "--json")
    assert outcome.code == 0
    model, store = load_clean_model(bench.model), Store(bench.store)
    image = load_images("digits", "test", size=16).images[3]
    foggy = corrupt(image[None], "fog", 4, seed=2)[0]
    layers = ["network.features.conv1", "network.features.conv3"]
    wanted = {"fog": 0.5, "contrast": None}
    expected = feature_maps(
        model, wanted, store, foggy, layers=layers, channels=3, uncorrupted=image
    )
    found = outcome.document["layers"]
    assert [layer["name"] for layer in found] == layers
    assert [layer["channels"] for layer in found] == [list(one.channels) for one in expected.layers]
    assert [layer["distances"] for layer in found] == [
        list(one.distances or ()) for one in expected.layers
    ]
    variant = LiveModel(model, store).variant(wanted)
    with torch.no_grad():
        shown = [model(foggy[None]), variant(foggy[None]), model(image[None])]
    for view, logits in zip(outcome.document["views"], shown, strict=True):
        probabilities = logits[0].softmax(0)
        assert view["predicted"] == int(probabilities.argmax())
        assert view["probability"] == pytest.approx(float(probabilities.max()), rel=1e-4)
    with Image.open(out) as picture:
        assert (picture.format, min(picture.size) > 600) == ("PNG", True)


def test_without_a_corruption_two_views_of_the_patched_layers(
    bench: Bench, rws: Rws, digit: Path
) -> None:
    options = ("--patch", "fog", "--channels", 1, "--out", digit.with_name("maps.png"))
    outcome = rws(*named(bench, digit), *options)
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == [
        "clean model", "fog=1", *(f"conv{number}" for number in range(1, 6)),
    ]  # fmt: skip
    assert lines[-1] == f"wrote {digit.with_name('maps.png')}"


def test_a_photograph_is_fitted_to_the_network(bench: Bench, rws: Rws, tmp_path: Path) -> None:
    photograph = tmp_path / "photo.jpg"
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(photograph)
    options = ("--patch", "fog", "--layers", 1, "--channels", 1, "--out", tmp_path / "a.png")
    assert rws(*named(bench, photograph), *options).code == 0


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--patch", "hail"], 3, "no patch named 'hail'"),
        (["--patch", "none"], 4, "no patch is put on"),
        (["--patch", "fog=0"], 4, "no patch is put on"),
        (["--patch", "fog=3"], 4, "takes 0 to 2"),
        (["--patch", "fog", "--layers", "conv99"], 4, "unknown layer 'conv99'"),
        (["--patch", "fog", "--layers", "0-2"], 4, "layers 1 to 14"),
        (["--patch", "fog", "--layers", "14"], 4, "gives no feature maps"),
        (["--patch", "fog", "--severity", "3"], 4, "--severity goes with --corruption"),
        (["--patch", "fog", "--corruption", "fgo"], 4, "Did you mean 'fog'?"),
        (["--patch", "fog", "--image", "nowhere.png"], 3, "nowhere.png"),
        (["--patch", "fog", "--image", "text.png"], 4, "is not a JPEG, PNG, WebP or BMP"),
        (["--patch", "fog", "--out", "maps.jpg"], 4, "ends in .png"),
        (["--patch", "fog", "--out", "nowhere/maps.png"], 3, "there is no folder"),
    ],
)
def test_bad_input_is_refused(
    bench: Bench,
    rws: Rws,
    digit: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(digit.parent)
    Path("text.png").write_text("no image")
    outcome = rws(*named(bench, digit), "--out", "maps.png", *options)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err
    assert {path.name for path in digit.parent.iterdir()} == {"digit.png", "text.png"}


def test_what_cannot_be_drawn_is_refused_before_anything_is_read(
    bench: Bench, rws: Rws, digit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    options = ("--patch", "fog", "--out", digit.with_name("maps.png"))
    outcome = rws("features", "--model", "nowhere.safetensors", "--image", digit, *options)
    assert (outcome.code, outcome.out) == (1, "")
    assert "pip install 'rwsstore[plots]'" in outcome.err


def test_patches_of_other_clean_weights_need_to_be_asked_for(
    bench: Bench, rws: Rws, digit: Path, stranger: Path
) -> None:
    layer = ("--layers", 1, "--channels", 1)
    options = ("--model", stranger, "--patch", "fog", *layer, "--out", digit.with_name("a.png"))
    assert rws(*named(bench, digit), *options).code == 4
    assert rws(*named(bench, digit), *options, "--allow-transfer").code == 0
