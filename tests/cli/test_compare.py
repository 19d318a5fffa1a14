from pathlib import Path

import pytest
import torch
from PIL import Image

from rwsstore.data import load_images
from rwsstore.models import load_clean_model
from rwsstore.patches import compose
from rwsstore.probes import (
    GainOptions,
    compare_signatures,
    find_signatures,
    measure_gains,
    summarize,
)
from rwsstore.store import Store
from tests.cli.conftest import Bench, Rws

GAINS = ("--dataset", "digits", "--limit", 60, "--corruptions", "weather,contrast")


def named(bench: Bench) -> tuple[object, ...]:
    return ("compare", "--model", bench.model, "--store", bench.store)


def test_json_is_what_the_library_finds(bench: Bench, rws: Rws) -> None:
    outcome = rws(*named(bench), *GAINS, "--severity", 4, "--seed", 4, "--json")
    assert outcome.code == 0
    model, store = load_clean_model(bench.model), Store(bench.store)
    signatures = find_signatures(model, store)
    options = GainOptions(
        corruptions=("snow", "frost", "fog", "brightness", "spatter", "contrast"),
        severity=4,
        seed=4,
    )
    images = load_images("digits", "test", size=model.spec.input_size).limit(60, 4)
    gains = measure_gains(model, signatures, images, options)
    comparison = summarize(compare_signatures(model, signatures), gains, seed=4)
    assert outcome.document == comparison.to_dict()
    assert [one["name"] for one in outcome.document["patches"]] == ["fog", "contrast"]
    assert len(outcome.document["layers"]) == 5
    assert outcome.document["gains"]["gains"][0][2] > 0  # fog is for fog


def test_without_images_only_the_weights_are_compared(bench: Bench, rws: Rws) -> None:
    outcome = rws(*named(bench))
    assert outcome.code == 0
    for text in ("fog", "contrast", "conv5", "Cosine similarity", "Do the groups appear"):
        assert text in outcome.out
    assert "gained" not in outcome.out
    gains = rws(*named(bench), *GAINS).out
    for text in ("Accuracy gained in points, severity 5, 60 images", "6 contrast", "Frost: synth"):
        assert text in gains


def test_patches_by_name_in_the_order_given(bench: Bench, rws: Rws, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    fog, contrast = (Store(bench.store).get(name) for name in ("fog", "contrast"))
    for patch in (fog, contrast):
        store.publish(patch)
    store.publish(compose("both", [(fog, 0.5), (contrast, 0.5)]))
    model = ("--model", bench.model, "--store", tmp_path / "store", "--json")
    document = rws("compare", contrast.digest[:12], "both", "fog@1", *model).document
    assert [(one["name"], one["group"]) for one in document["patches"]] == [
        (contrast.digest[:12], "digital"),
        ("both", "other"),
        ("fog@1", "weather"),
    ]
    cosines = torch.tensor(document["cosine"])
    assert cosines[0, 1] > cosines[0, 2]
    # All patches means the RWS patches; what is composed of them must be asked for.
    assert [one["name"] for one in rws("compare", *model).document["patches"]] == [
        "fog",
        "contrast",
    ]


def test_pictures_are_written_beside(bench: Bench, rws: Rws, tmp_path: Path) -> None:
    options = ("--dataset", "digits", "--limit", 20, "--corruptions", "fog,contrast")
    assert rws(*named(bench), *options, "--png", tmp_path / "maps.png").code == 0
    kinds = ("cosine", "gains", "layers", "norms")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"maps-{k}.png" for k in kinds]
    for path in tmp_path.iterdir():
        with Image.open(path) as image:
            assert min(image.size) > 200


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fog"], 4, "takes two or more"),
        (["fog", "fog"], 4, "named twice"),
        (["fog", "fog@1"], 4, "the same patch"),
        (["fog", "snow"], 3, "no patch named 'snow'"),
        (["--store", "empty"], 3, "no RWS patch of this model"),
        (["--severity", "3"], 4, "--severity goes with --dataset"),
        (["--corruptions", "fog"], 4, "--corruptions goes with --dataset"),
        (["--limit", "3"], 4, "--limit goes with --dataset"),
        (["--dataset", "digits", "--severity", "6"], 2, "6 is not in the range"),
        (["--dataset", "digits", "--corruptions", "fgo"], 4, "Did you mean 'fog'?"),
        (["--dataset", "imagefolder:nowhere"], 3, "nowhere"),
        (["--png", "nowhere/maps"], 3, "there is no folder"),
    ],
)
def test_bad_input_is_refused(
    bench: Bench,
    rws: Rws,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = rws(*named(bench), *arguments)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_patches_of_another_model_are_refused(bench: Bench, rws: Rws, stranger: Path) -> None:
    model = ("--model", stranger, "--store", bench.store)
    outcome = rws("compare", "fog", "contrast", *model)
    assert (outcome.code, outcome.out) == (4, "")
    assert "was extracted from the clean weights" in outcome.err
    assert rws("compare", *model).code == 3


def test_pictures_that_cannot_be_written_are_refused_before_measuring(
    bench: Bench, rws: Rws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("measured")

    monkeypatch.setattr("rwsstore.probes.measure_gains", never)
    monkeypatch.setattr("rwsstore.probes.compare_signatures", never)
    outcome = rws(*named(bench), *GAINS, "--png", tmp_path / "nowhere" / "maps")
    assert (outcome.code, outcome.out) == (3, "")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    outcome = rws(*named(bench), *GAINS, "--png", tmp_path / "maps")
    assert (outcome.code, outcome.out) == (1, "")
    assert "pip install 'rwsstore[plots]'" in outcome.err
