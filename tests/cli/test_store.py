from pathlib import Path
from shutil import copytree

import pytest

from rwsstore.store import Store
from tests.cli.conftest import Bench, Rws


@pytest.fixture
def store(bench: Bench, tmp_path: Path) -> Path:
    return Path(copytree(bench.store, tmp_path / "store"))


def test_ls_lists_and_filters(bench: Bench, rws: Rws) -> None:
    place = ["--store", bench.store]
    patches = rws("store", "ls", *place, "--json").document["patches"]
    assert [patch["name"] for patch in patches] == ["contrast", "fog"]
    wanted = {"name", "digest", "kind", "corruption", "bits", "file_bytes"}
    assert wanted <= set(patches[0])
    fog = rws("store", "ls", *place, "--corruption", "fog", "--json").document["patches"]
    assert [patch["name"] for patch in fog] == ["fog"]
    assert rws("store", "ls", *place, "--bits", 4, "--json").document["patches"] == []
    assert "fog@1" in rws("store", "ls", *place).out


def test_ls_tells_and_sorts_by_what_is_touched(bench: Bench, rws: Rws) -> None:
    place = ["--store", bench.store]
    patches = rws("store", "ls", *place, "--sort", "touched", "--json").document["patches"]
    assert [patch["name"] for patch in patches] == ["contrast", "fog"]
    touched = patches[0]["touched_bytes"]
    assert 0 < touched < patches[0]["model_bytes"]
    listing = rws("store", "ls", *place).out
    share = f"{touched / patches[0]['model_bytes']:.1%}"
    assert f"{touched:,} ({share})" in listing
    assert "conv5" in listing
    below = rws("store", "ls", *place, "--max-touched", touched - 1, "--json").document
    assert below["patches"] == []
    assert rws("store", "ls", *place, "--sort", "colour").code == 2


def test_show_says_what_a_composed_patch_touches(store: Path, rws: Rws) -> None:
    both = ["both", "fog=0.5,contrast=0.5", "--store", store]
    assert rws("compose", *both).code == 0
    place = ["--store", store]
    touched = [
        rws("store", "show", name, *place, "--json").document["touched_bytes"]
        for name in ("fog", "both")
    ]
    assert touched[0] == touched[1]
    line = f"5 layers, 5 of 14 weight tensors, {touched[0]:,} bytes"
    assert line in rws("store", "show", "both", *place).out
    (part,) = store.rglob(f"{Store(store).resolve('fog')}*")
    part.unlink()
    assert "not known: a part is not in the store" in rws("inspect", "both", *place).out


def test_an_empty_store_says_what_to_do(rws: Rws, tmp_path: Path) -> None:
    outcome = rws("store", "ls", "--store", tmp_path / "none")
    assert outcome.code == 0
    assert "rws extract" in outcome.out
    assert not (tmp_path / "none").exists()


def test_show_and_verify(bench: Bench, rws: Rws) -> None:
    place = ["--store", bench.store]
    shown = rws("store", "show", "fog", *place, "--json").document
    verified = rws("store", "verify", "fog@1", *place, "--json").document
    assert shown["digest"] == verified["digest"] == Store(bench.store).resolve("fog")
    assert rws("store", "show", "snow", *place).code == 3


def test_fsck_tells_of_a_flipped_bit_and_mends_what_it_can(store: Path, rws: Rws) -> None:
    assert rws("store", "fsck", "--store", store).code == 0
    digest = Store(store).resolve("fog")
    (damaged,) = store.rglob(f"{digest}*")
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.chmod(0o644)
    damaged.write_bytes(content)
    found = rws("store", "fsck", "--store", store, "--json")
    assert (found.code, found.document["clean"]) == (1, False)
    assert digest in found.out
    assert rws("store", "verify", "fog", "--store", store).code == 1


def test_gc_removes_what_no_name_reaches(store: Path, rws: Rws) -> None:
    Store(store).remove("fog")
    dry = rws("store", "gc", "--dry-run", "--store", store, "--json").document
    real = rws("store", "gc", "--store", store, "--json").document
    assert len(dry["removed"]) == len(real["removed"]) == 1
    assert dry["kept"] == real["kept"] == 1
    assert [entry.name for entry in Store(store).list()] == ["contrast"]
