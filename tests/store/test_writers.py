"""Several writers at once: threads, real processes, and processes that are really killed."""

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from rwsstore.errors import ConflictError
from rwsstore.patches import Patch
from rwsstore.store import Store
from tests.store.helpers import observe, patch, remove_if_there

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Written:
    """What processes of their own left behind, and the lines that they said."""

    raced: Path
    killed: Path
    lines: list[str]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("written")
    raced, killed = folder / "raced", folder / "killed"
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.writer", str(raced), str(killed)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Written(raced, killed, done.stdout.splitlines())


def test_two_processes(written: Written) -> None:
    lines = sorted(written.lines[:4])
    assert lines == ["other True", "other conflict", "same False", "same True"]
    store = Store(written.raced)
    assert len(store.history("same")) == len(store.history("other")) == 1
    report = store.fsck()
    assert (report.objects, report.findings, report.unreferenced) == (2, (), ())


def test_processes_killed_for_real(written: Written) -> None:
    lines = written.lines[4:]
    assert len(lines) > 10
    assert lines == ["killed"] * (len(lines) - 1) + ["finished"]
    for step in range(1, len(lines) + 1):
        store = Store(written.killed / str(step))
        assert observe(store) in ({}, {"fog": (patch(0).digest,)})
        store.publish(patch(0))
        assert store.fsck(repair=True).clean
        assert store.fsck().findings == ()
        assert observe(store) == {"fog": (patch(0).digest,)}


def together(works: Sequence[Callable[[], object]]) -> None:
    """Run each work in a thread, all let go at once; their errors are raised here."""
    gate, errors = threading.Barrier(len(works)), list[BaseException]()

    def run(work: Callable[[], object]) -> None:
        gate.wait()
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("shared", [True, False])
def test_threads_with_the_same_content(store: Store, shared: bool) -> None:
    created: list[bool] = []

    def work() -> None:
        each = store if shared else Store(store.root)
        created.append(each.publish(patch(0)).created)

    together([work] * 6)
    assert sorted(created) == [False] * 5 + [True]
    assert store.fsck().objects == 1
    assert len(store.history("fog")) == 1


def test_threads_with_different_content_and_no_version(store: Store) -> None:
    outcomes: list[str] = []

    def work(seed: int) -> None:
        try:
            outcomes.append(store.publish(patch(seed), expected=0).digest)
        except ConflictError:
            outcomes.append("conflict")

    together([lambda seed=seed: work(seed) for seed in range(6)])  # type: ignore[misc] # a default binds it
    assert outcomes.count("conflict") == 5
    (winner,) = (outcome for outcome in outcomes if outcome != "conflict")
    assert store.resolve("fog") == winner
    assert store.fsck().objects == 1


def test_no_version_is_lost(store: Store) -> None:
    def work(each: Patch) -> None:
        while True:
            try:
                store.publish(each)
            except ConflictError:
                continue
            return

    together([lambda seed=seed: work(patch(seed)) for seed in range(5)])  # type: ignore[misc] # a default binds it
    versions = [version.digest for version in store.history("fog")]
    assert sorted(versions) == sorted(patch(seed).digest for seed in range(5))
    assert store.fsck().findings == ()


def test_readers_never_see_half_of_anything(store: Store) -> None:
    store.publish(patch(0))
    done = threading.Event()

    def write() -> None:
        try:
            for seed in (1, 2, 0) * 3:
                store.publish(patch(seed))
                store.publish(patch(seed), name="haze")
                remove_if_there(store, "haze")
                store.gc()
        finally:
            done.set()

    def read() -> None:
        reader = Store(store.root)
        while not done.is_set():
            assert reader.get("fog").name == "fog"
            assert "fog" in {entry.name for entry in reader.list()}
            assert {finding.problem for finding in reader.fsck().findings} == set()

    together([write, read, read])
    assert store.fsck().findings == ()
