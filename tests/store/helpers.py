"""Small patches, stores on simulated disks, and what can be seen of a store from outside."""

import functools
from contextlib import suppress
from pathlib import Path

from rwsstore.errors import NotFoundError
from rwsstore.files import OsFiles, is_temporary
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


def alike(snapshot: Snapshot) -> str:
    """The same text for disks that differ in no more than what temporary files are called."""
    named = [
        ("temporary" if is_temporary(name) else name, alike(one) if isinstance(one, dict) else one)
        for name, one in snapshot.items()
    ]
    return repr(sorted(named, key=repr))


_seen: dict[str, tuple[State, frozenset[str]]] = {}


def look_at(snapshot: Snapshot) -> tuple[State, frozenset[str]]:
    """What can be seen of a disk, and what `fsck` finds there; the same disk is looked at once."""
    key = alike(snapshot)
    if key not in _seen:
        store = open_store(Process(Disk(snapshot)))
        _seen[key] = observe(store), frozenset(found.problem for found in store.fsck().findings)
    return _seen[key]


def observe_disk(snapshot: Snapshot) -> State:
    return look_at(snapshot)[0]


def prepare(*patches: Patch) -> Snapshot:
    """A disk on which these patches were published."""
    disk = Disk()
    for each in patches:
        open_store(Process(disk)).publish(each)
    return disk.now()


def remove_if_there(store: Store, name: str) -> None:
    with suppress(NotFoundError):
        store.remove(name)
