"""The index may be deleted, damaged or stale at any time: a listing is right all the same."""

import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from rwsstore.files import OsFiles
from rwsstore.patches import Patch
from rwsstore.store import Entry, Store
from tests.store.faults import Disk, Process
from tests.store.helpers import composed, open_store, patch


@pytest.fixture
def listed(store: Store) -> tuple[Entry, ...]:
    for each in (patch(0), patch(1), patch(2, "frost")):
        store.publish(each)
    return store.list(all_versions=True)


def relist(store: Store, files: OsFiles | None = None) -> tuple[Entry, ...]:
    """List as a fresh process does."""
    return Store(store.root, files=files or OsFiles()).list(all_versions=True)


class Counting(OsFiles):
    """Counts the objects that are read."""

    def __init__(self) -> None:
        self.objects = 0

    def read(self, path: Path, limit: int) -> bytes:
        self.objects += path.suffix == ".safetensors"
        return super().read(path, limit)


def test_a_fresh_process_reads_no_object_for_a_listing(
    store: Store, listed: tuple[Entry, ...]
) -> None:
    files = Counting()
    assert relist(store, files) == listed
    assert files.objects == 0


def test_deleted_it_is_rebuilt(store: Store, listed: tuple[Entry, ...]) -> None:
    (store.root / "index.jsonl").unlink()
    assert relist(store) == listed
    assert (store.root / "index.jsonl").exists()


def test_deleted_under_a_running_process_it_is_written_again(
    store: Store, listed: tuple[Entry, ...]
) -> None:
    (store.root / "index.jsonl").unlink()
    assert store.list(all_versions=True) == listed
    assert (store.root / "index.jsonl").exists()


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def swap_severity(data: bytes) -> bytes:
    """Something that JSON itself would never notice."""
    assert b'"severity":5' in data
    return data.replace(b'"severity":5', b'"severity":4')


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        swap_severity,
        lambda data: b"",
        lambda data: data.partition(b"\n")[2],
        lambda data: data[:100] + bytes(100) + data[200:],
        lambda data: data + b"\0",
        lambda data: hashlib.sha256(b"").digest(),
        lambda data: b"nonsense" * 1000,
    ],
)
def test_damaged_it_is_rebuilt(
    store: Store, listed: tuple[Entry, ...], damage: Callable[[bytes], bytes]
) -> None:
    path = store.root / "index.jsonl"
    path.write_bytes(damage(path.read_bytes()))
    assert relist(store) == listed
    files = Counting()
    assert relist(store, files) == listed
    assert files.objects == 0  # what was damaged has been replaced


def test_a_folder_in_its_place_does_no_harm(store: Store, listed: tuple[Entry, ...]) -> None:
    (store.root / "index.jsonl").unlink()
    (store.root / "index.jsonl").mkdir()
    assert relist(store) == listed


def test_of_another_version_it_is_rebuilt(
    store: Store, listed: tuple[Entry, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rwsstore.store.index._COLUMNS", '["digest"]')
    files = Counting()
    assert relist(store, files) == listed
    assert files.objects == len(listed)


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.publish(patch(3)),
        lambda store: store.publish(patch(0), name="haze"),
        lambda store: store.publish(patch(0)),
        lambda store: store.remove("fog"),
        lambda store: (store.remove("fog"), store.gc()),
        lambda store: (store.remove("fog"), store.remove("frost")),
    ],
)
def test_stale_it_is_brought_up_to_date(
    store: Store, listed: tuple[Entry, ...], change: Callable[[Store], object]
) -> None:
    old = (store.root / "index.jsonl").read_bytes()
    change(Store(store.root))
    expected = relist(store)
    assert expected != listed
    assert store.list(all_versions=True) == expected  # of the running process
    (store.root / "index.jsonl").write_bytes(old)
    assert relist(store) == expected  # of one that finds an old file
    files = Counting()
    assert relist(store, files) == expected
    assert files.objects == 0  # what was brought up to date has been kept


def test_an_index_of_an_older_rwsstore_is_left_alone(store: Store) -> None:
    store.root.mkdir()
    (store.root / "index.sqlite").write_bytes(b"SQLite format 3")
    store.publish(patch())
    assert [entry.name for entry in relist(store)] == ["fog"]
    assert (store.root / "index.sqlite").read_bytes() == b"SQLite format 3"


def test_names_are_read_again_only_when_one_has_changed() -> None:
    process = Process(Disk())
    store = open_store(process)
    store.publish(patch(0))
    listed = store.list()
    process.reads.clear()
    assert store.list() == store.list(kind="rws") == listed
    assert not process.reads
    open_store(process).publish(patch(2, "frost"))
    assert [entry.name for entry in store.list()] == ["fog", "frost"]
    open_store(process).remove("fog")
    assert [entry.name for entry in store.list()] == ["frost"]


def test_a_part_that_comes_back_is_found_again(store: Store) -> None:
    for each in (patch(0), patch(1), composed()):
        store.publish(each)
    (part,) = store.root.rglob(f"{patch(1).digest}*")
    part.unlink()
    for _ in range(2):
        assert {entry.name: entry.touched_bytes for entry in relist(store)}["both"] is None
    part.write_bytes(patch(1).to_bytes())
    files = Counting()
    assert {entry.name: entry.touched_bytes for entry in relist(store, files)}["both"] == 448
    assert files.objects == 4  # the part, and the composed one with both of its parts
    assert relist(store, files)
    assert files.objects == 4


def test_a_rebuilt_index_equals_one_that_grew(store: Store, listed: tuple[Entry, ...]) -> None:
    store.remove("frost")
    grown = store.list(all_versions=True)
    (store.root / "index.jsonl").unlink()
    assert relist(store) == grown


def test_it_is_lines_of_json_that_any_tool_reads(store: Store, listed: tuple[Entry, ...]) -> None:
    _, *lines = (store.root / "index.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["digest"] for row in rows] == sorted(entry.digest for entry in listed)
    assert {row["corruption"] for row in rows} == {entry.corruption for entry in listed}


def test_it_is_not_written_while_somebody_else_writes(
    store: Store, listed: tuple[Entry, ...]
) -> None:
    (store.root / "index.jsonl").unlink()
    with OsFiles().lock(store.root / "lock", 0):
        assert relist(store) == listed
    assert not (store.root / "index.jsonl").exists()


def test_threads_share_it(store: Store, listed: tuple[Entry, ...]) -> None:
    shared = Store(store.root)
    found: list[tuple[Entry, ...]] = []

    def work() -> None:
        found.extend(shared.list(all_versions=True) for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [listed] * 20


def test_metadata_is_data_to_it(store: Store) -> None:
    text = 'x"},{"digest":"'
    metadata = patch().metadata.model_copy(update={"corruption": text})
    store.publish(Patch.build(metadata, patch().tensors, None))
    assert [entry.corruption for entry in store.list()] == [text]
    assert store.list(corruption=text) == relist(store)
