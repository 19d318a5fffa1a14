"""Small patches, stores on simulated disks, and what can be seen of a store from outside."""

import functools
from contextlib import suppress
from pathlib import Path

from rwsstore.errors import NotFoundError
from rwsstore.files import OsFiles
from rwsstore.patches import Patch, compose
from rwsstore.store import Store
from tests.patches.factory import make_test_patch
from tests.store.faults import Disk, Process, Snapshot

ROOT = Path("/data/store")

State = dict[str, tuple[str, ...]]


@functools.cache
def patch(seed: int = 0, name: str = "fog") -> Patch:
    return make_test_patch(name, seed=seed)


@functools.cache
def composed() -> Patch:
    return compose("both", [(patch(0), 0.5), (patch(1), 0.5)])


def open_store(files: OsFiles) -> Store:
    return Store(ROOT, files=files)


def observe(store: Store) -> State:
    """Each name's versions; all of them, and what they are composed of, are read and parsed."""
    state = {}
    for name in sorted({entry.name for entry in store.list()}):
        state[name] = tuple(version.digest for version in store.history(name))
        for digest in state[name]:
            assert store.verify(digest) == digest
    return state


def observe_disk(snapshot: Snapshot) -> State:
    return observe(open_store(Process(Disk(snapshot))))


def prepare(*patches: Patch) -> Snapshot:
    """A disk on which these patches were published."""
    disk = Disk()
    for each in patches:
        open_store(Process(disk)).publish(each)
    return disk.now()


def remove_if_there(store: Store, name: str) -> None:
    with suppress(NotFoundError):
        store.remove(name)
