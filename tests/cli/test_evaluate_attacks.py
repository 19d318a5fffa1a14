"""`rws evaluate --attacks`."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from torch import Tensor

from rwsstore.attacks import Pgd
from rwsstore.models import build, load_checkpoint, save_checkpoint
from tests.cli.conftest import Bench, Rws

COMMON = ("evaluate", "--dataset", "digits", "--limit", 24)
QUICK = ("--attacks", "fgsm,pgd3", "--epsilon", "8/255,0.1")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def kept(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file()]


def test_json_has_the_models_and_their_transfer(bench: Bench, rws: Rws, cache: Path) -> None:
    unfolded = bench.folder / "clean.unfolded.safetensors"
    model = ["--model", bench.model, "--store", bench.store, "--against", unfolded]
    outcome = rws(*COMMON, *model, *QUICK, "--patch", "fog=0.5", "--json")
    assert outcome.code == 0
    report = outcome.document
    assert list(report["models"]) == ["clean", "fog=0.5", "clean.unfolded"]
    assert report["epsilons"] == [8 / 255, 0.1]
    assert (report["images"], report["norm"], report["seed"]) == (24, "linf", 0)
    for found in report["models"].values():
        before = found["clean"]["accuracy"]
        for budget in found["budgets"]:
            worst = budget["worst_case"]
            assert worst["interval"]["low"] <= worst["accuracy"] <= worst["interval"]["high"]
            assert worst["accuracy"] <= min(one["accuracy"] for one in budget["attacks"].values())
            assert worst["accuracy"] <= before
            before = worst["accuracy"]
    assert report["models"]["clean"]["budgets"][1]["worst_case"]["accuracy"] < 60
    assert len(report["transfer"]) == 3 * 2
    folded, unfolded_too = report["models"]["clean"], report["models"]["clean.unfolded"]
    assert folded["clean"]["accuracy"] == unfolded_too["clean"]["accuracy"]
    assert kept(cache) == []


def test_the_table_csv_and_png_show_it(bench: Bench, rws: Rws, tmp_path: Path) -> None:
    rows, picture = tmp_path / "rows.csv", tmp_path / "curves.png"
    model = ["--model", bench.model, "--store", bench.store, "--patch", "contrast"]
    outcome = rws(*COMMON, *model, *QUICK, "--norm", "l2", "--csv", rows, "--png", picture)
    assert outcome.code == 0
    for text in ("24 images of digits, budgets in L2", "pgd3", "8/255", "contrast", "made on", "±"):
        assert text in outcome.out
    with rows.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == 2 * (1 + 3 * 2) + 2 * 3 * 2
    with Image.open(picture) as image:
        assert min(image.size) > 300


def test_one_model_alone_and_runs_are_repeatable(bench: Bench, rws: Rws) -> None:
    model = [*COMMON, "--model", bench.model, *QUICK, "--json", "--resamples", 0]
    report = rws(*model).document
    assert list(report["models"]) == ["clean"]
    assert report["transfer"] == []
    assert report["models"]["clean"]["clean"]["interval"] is None
    assert rws(*model).document == report
    other = rws(*model, "--seed", 1).document
    assert (other["seed"], other["models"] == report["models"]) == (1, False)


def test_the_defaults_are_the_standard_attacks_at_four_budgets(
    bench: Bench, rws: Rws, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(attack: object, batch: object) -> Tensor:
        images: Tensor = vars(batch)["images"]
        return images

    for name in ("pgd.Fgsm", "pgd.Pgd", "apgd.Apgd"):
        monkeypatch.setattr(f"rwsstore.attacks.{name}._attack", nothing)
    model = [*COMMON, "--model", bench.model, "--attacks", "standard", "--json"]
    report = rws(*model).document
    assert list(report["attacks"]) == ["fgsm", "pgd10", "pgd20x5", "apgd"]
    assert report["attacks"]["pgd20x5"]["restarts"] == 5
    assert report["epsilons"] == [1 / 255, 2 / 255, 4 / 255, 8 / 255]
    assert rws(*model, "--norm", "l2").document["epsilons"] == [0.125, 0.25, 0.5, 1.0]


def test_an_interrupted_run_goes_on(
    bench: Bench, rws: Rws, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [*COMMON, "--model", bench.model, *QUICK, "--json"]
    whole = rws(*command).document
    made: list[float] = []
    perturb: Callable[..., Tensor] = Pgd.perturb

    def counted(self: Pgd, *args: object, **more: object) -> Tensor:
        made.append(self.epsilon)
        if made == [8 / 255, 0.1]:
            raise KeyboardInterrupt
        return perturb(self, *args, **more)

    monkeypatch.setattr(Pgd, "perturb", counted)
    outcome = rws(*command)
    assert (outcome.code, outcome.out) == (130, "")
    assert len(kept(cache)) == 1
    assert rws(*command).document == whole
    assert made == [8 / 255, 0.1, 0.1]
    assert kept(cache) == []


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--epsilon", "8/255"], 4, "--epsilon goes with --attacks"),
        (["--norm", "linf"], 4, "--norm goes with --attacks"),
        (["--patch", "fog"], 4, "--patch goes with --attacks"),
        (["--against", "bundled"], 4, "--against goes with --attacks"),
        ([*QUICK, "--corruptions", "fog"], 4, "--corruptions does not go with --attacks"),
        ([*QUICK, "--severity", "5"], 4, "--severity does not go with --attacks"),
        ([*QUICK, "--bits", "8"], 4, "--bits does not go with --attacks"),
        ([*QUICK, "--rival", "x"], 4, "--rival does not go with --attacks"),
        ([*QUICK, "--frost-overlays", "x"], 4, "--frost-overlays does not go with --attacks"),
        ([*QUICK, "--store", "bundled"], 4, "--store goes, under --attacks, with --patch"),
        ([*QUICK, "--allow-transfer"], 4, "--allow-transfer goes, under --attacks, with --patch"),
        (["--attacks", "fgsn"], 4, "unknown attack 'fgsn'"),
        (["--attacks", ""], 4, "unknown attack ''"),
        (["--attacks", "pgd10,pgd"], 4, "twice"),
        (["--attacks", "fgsm", "--epsilon", "2"], 4, "epsilon"),
        (["--attacks", "fgsm", "--epsilon", "0"], 4, "number above 0"),
        (["--attacks", "fgsm", "--epsilon", "1/255,x"], 4, "number above 0"),
        (["--attacks", "fgsm", "--norm", "l1"], 2, "'l1' is not one of"),
        ([*QUICK, "--patch", "none"], 4, "is the clean model"),
        ([*QUICK, "--patch", "fog=0"], 4, "is the clean model"),
        ([*QUICK, "--patch", "fog=x"], 4, "not a finite number"),
        ([*QUICK, "--patch", "snow"], 3, "snow"),
        ([*QUICK, "--patch", "fog", "--patch", "fog"], 4, "two models are called 'fog'"),
        ([*QUICK, "--against", "nowhere.safetensors"], 3, "nowhere"),
        ([*QUICK, "--resamples", "39"], 4, "40 or more"),
        ([*QUICK, "--png", "no/where.png"], 3, "there is no folder"),
    ],
)
def test_bad_input_is_refused(
    bench: Bench,
    rws: Rws,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    store = ["--store", bench.store] if "--patch" in options and "--attacks" in options else []
    outcome = rws(*COMMON, "--model", bench.model, *store, *options)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_models_that_cannot_be_compared_are_refused(bench: Bench, rws: Rws, tmp_path: Path) -> None:
    model = [*COMMON, "--model", bench.model, *QUICK]
    same_name = tmp_path / "clean.safetensors"
    same_name.write_bytes(bench.model.read_bytes())
    outcome = rws(*model, "--against", same_name)
    assert (outcome.code, outcome.out) == (4, "")
    assert "two models are called 'clean'" in outcome.err
    smaller = tmp_path / "smaller.safetensors"
    spec = load_checkpoint(bench.model).spec
    save_checkpoint(smaller, build(spec.model_copy(update={"input_size": 8, "folded": False})))
    outcome = rws(*model, "--against", smaller)
    assert (outcome.code, outcome.out) == (4, "")
    assert "takes images of 8 pixels, the model 16" in outcome.err
    birds = tmp_path / "birds.safetensors"
    names = tuple(f"bird {number}" for number in range(10))
    save_checkpoint(birds, build(spec.model_copy(update={"classes": names})))
    outcome = rws(*model, "--against", birds)
    assert (outcome.code, outcome.out) == (4, "")
    assert "has other classes than the model" in outcome.err
