from pathlib import Path

from tests.cli.conftest import EXTRACT, Bench, Rws


def test_a_composed_patch_equals_the_set(bench: Bench, rws: Rws, tmp_path: Path) -> None:
    store = tmp_path / "store"
    extract = [*EXTRACT, "--model", bench.model, "--store", store]
    assert rws(*extract, "--corruptions", "fog,contrast").code == 0
    composed = rws("compose", "dusk", "fog=0.6,contrast=0.4", "--store", store, "--json").document
    assert sorted(part["alpha"] for part in composed["parts"]) == [0.4, 0.6]
    model = ["--model", bench.model, "--store", store]
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    as_one = rws("apply", *model, "--patch", "dusk", "--out", one, "--json").document
    as_set = rws(
        "apply", *model, "--patch", "contrast=0.4", "--patch", "fog=0.6", "--out", two, "--json"
    ).document
    assert as_one["state_digest"] == as_set["state_digest"]
    assert one.read_bytes() == two.read_bytes()


def test_bad_compositions_are_refused(bench: Bench, rws: Rws) -> None:
    store = ["--store", bench.store]
    assert rws("compose", "dusk", "fog=0.6,snow=0.4", *store).code == 3
    assert rws("compose", "dusk", "fog=0.6,fog=0.4", *store).code == 4
    assert rws("compose", "dusk", "fog=nan", *store).code == 4
    assert rws("compose", "dusk", "fog=0", *store).code == 4
    assert rws("compose", "../dusk", "fog=0.5", *store).code == 4
    assert rws("compose", "dusk", "none", *store).code == 4
    listed = rws("store", "ls", *store, "--json").document
    assert [patch["name"] for patch in listed["patches"]] == ["contrast", "fog"]
