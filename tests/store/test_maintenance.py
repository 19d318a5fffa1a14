from pathlib import Path

import pytest

from rwsstore.canonical import sha256_hex
from rwsstore.errors import IntegrityError
from rwsstore.store import Store
from rwsstore.store.records import GcReport
from tests.store.helpers import composed, patch


@pytest.fixture
def filled(store: Store) -> Store:
    """fog with two versions, and both, composed of these."""
    for each in (patch(0), patch(1), composed()):
        store.publish(each)
    return store


def object_path(store: Store, digest: str) -> Path:
    return store.root / "objects" / digest[:2] / f"{digest}.safetensors"


def problems(store: Store) -> list[tuple[str, str]]:
    return [(finding.problem, finding.subject) for finding in store.fsck().findings]


def test_a_good_store_is_clean(filled: Store) -> None:
    report = filled.fsck()
    assert (report.objects, report.refs, report.findings) == (3, 2, ())
    assert report.clean
    assert report.unreferenced == ()


def test_fsck_finds_a_damaged_object_and_who_misses_it(filled: Store) -> None:
    digest = patch(0).digest
    object_path(filled, digest).write_bytes(b"x")
    assert problems(filled) == [
        ("damaged object", digest),
        ("missing object", "fog@1"),
        ("missing part", composed().digest),
    ]
    assert object_path(filled, digest).exists()  # nothing was changed
    assert not filled.fsck().clean


def test_repair_puts_damage_aside_and_says_what_stays_missing(filled: Store) -> None:
    digest = patch(0).digest
    object_path(filled, digest).write_bytes(b"x")
    report = filled.fsck(repair=True)
    assert [finding.repaired for finding in report.findings] == [True, False, False]
    assert not report.clean
    assert (filled.root / "quarantine" / f"{digest}.safetensors.1").read_bytes() == b"x"
    assert problems(filled) == [("missing object", "fog@1"), ("missing part", composed().digest)]
    filled.publish(patch(0), name="again")
    assert filled.fsck().findings == ()


def test_fsck_finds_bytes_that_are_no_patch(filled: Store) -> None:
    data = b"no patch"
    path = object_path(filled, sha256_hex(data))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    assert problems(filled) == [("damaged object", sha256_hex(data))]
    assert filled.fsck(repair=True).clean
    assert filled.fsck().findings == ()


def test_fsck_finds_damaged_refs(filled: Store) -> None:
    (filled.root / "refs" / "both.json").write_bytes(b"")
    assert problems(filled) == [("damaged ref", "both")]
    assert filled.fsck(repair=True).clean
    assert (filled.root / "quarantine" / "both.json.1").exists()
    assert filled.fsck().unreferenced == (composed().digest,)
    assert filled.fsck().findings == ()


def test_fsck_finds_strays_and_leftovers(filled: Store) -> None:
    shard = object_path(filled, patch(0).digest).parent
    strays = [
        filled.root / "objects" / "note.txt",
        shard / "copy.safetensors",
        shard / patch(0).digest,
        filled.root / "refs" / "Fog.json",
        filled.root / "refs" / "fog.json.bak",
        filled.root / "refs" / "deadbeef.json",
    ]
    leftovers = [
        folder / f".rws-{number}.tmp"
        for number, folder in enumerate([filled.root, filled.root / "refs", shard])
    ]
    for path in (*strays, *leftovers):
        path.write_bytes(b"x")
    found = set(problems(filled))
    wanted = {("stray file", str(path.relative_to(filled.root))) for path in strays}
    wanted |= {("temporary", str(path.relative_to(filled.root))) for path in leftovers}
    assert found == wanted
    assert [entry.name for entry in filled.list()] == ["both", "fog"]
    assert filled.fsck(repair=True).clean
    assert filled.fsck().findings == ()
    assert len(list((filled.root / "quarantine").iterdir())) == len(strays)
    assert filled.get("fog").digest == patch(1).digest


def test_an_object_in_the_wrong_folder_is_a_stray(filled: Store) -> None:
    path = object_path(filled, patch(0).digest)
    wrong = filled.root / "objects" / ("00" if path.parent.name != "00" else "11")
    wrong.mkdir(exist_ok=True)
    path.rename(wrong / path.name)
    assert {problem for problem, _ in problems(filled)} == {
        "stray file",
        "missing object",
        "missing part",
    }


def test_gc_removes_what_no_name_reaches(filled: Store) -> None:
    filled.publish(patch(2, "frost"))
    filled.remove("frost")
    size = len(patch(2, "frost").to_bytes())
    wanted = (patch(2, "frost").digest,)
    assert filled.gc(dry_run=True) == GcReport(wanted, size, 0, 3, dry_run=True)
    assert filled.has(wanted[0])
    assert filled.gc() == GcReport(wanted, size, 0, 3, dry_run=False)
    assert not filled.has(wanted[0])
    assert filled.gc().removed == ()
    assert filled.fsck().findings == ()


def test_gc_keeps_old_versions_and_parts(filled: Store) -> None:
    filled.remove("fog")
    assert filled.gc().removed == ()
    filled.remove("both")
    assert set(filled.gc().removed) == {patch(0).digest, patch(1).digest, composed().digest}
    assert filled.fsck().objects == 0


def test_gc_keeps_what_the_caller_names_and_its_parts(filled: Store) -> None:
    filled.remove("fog")
    filled.remove("both")
    unknown = "0" * 64
    assert filled.gc(keep=[composed().digest, unknown]).removed == ()
    assert filled.verify(composed().digest) == composed().digest
    assert set(filled.gc(keep=[patch(0).digest]).removed) == {patch(1).digest, composed().digest}


def test_gc_sweeps_leftovers(filled: Store) -> None:
    path = filled.root / "refs" / ".rws-0.tmp"
    path.write_bytes(b"four")
    report = filled.gc(dry_run=True)
    assert (report.temporaries, report.freed_bytes, path.exists()) == (1, 4, True)
    report = filled.gc()
    assert (report.temporaries, report.freed_bytes, path.exists()) == (1, 4, False)


def test_gc_stops_where_it_cannot_know_what_is_reached(filled: Store) -> None:
    filled.publish(patch(2, "frost"))
    filled.remove("frost")
    object_path(filled, composed().digest).write_bytes(b"x")
    with pytest.raises(IntegrityError, match=composed().digest):
        filled.gc()
    assert filled.has(patch(2, "frost").digest)


def test_gc_stops_at_a_damaged_ref(filled: Store) -> None:
    (filled.root / "refs" / "both.json").write_bytes(b"")
    with pytest.raises(IntegrityError, match="both"):
        filled.gc()
    assert filled.has(composed().digest)


def test_gc_leaves_quarantine_alone(filled: Store) -> None:
    object_path(filled, patch(0).digest).write_bytes(b"x")
    filled.fsck(repair=True)
    filled.remove("both")
    filled.gc()
    assert len(list((filled.root / "quarantine").iterdir())) == 1
