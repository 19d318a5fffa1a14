"""A process of its own that writes to a store; run by tests/store/test_writers.py.

In the first folder that it is given, two children publish under two names, let go at once. In the
second, a child publishes to a store 1 and is killed before its first writing operation, then one
to a store 2 before its second, until one finishes.
"""

import itertools
import os
import signal
import sys
from pathlib import Path

from rwsstore.errors import ConflictError
from rwsstore.files import OsFiles
from rwsstore.store import Store
from tests.store.helpers import patch


class Dying(OsFiles):
    """Real files; the process kills itself before a writing operation."""

    def __init__(self, kill_at: int) -> None:
        self._left = kill_at

    def _step(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def create(self, path: Path, data: bytes) -> None:
        self._step()
        super().create(path, data)

    def fsync_folder(self, path: Path) -> None:
        self._step()
        super().fsync_folder(path)

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        super().rename(source, target)

    def make_folder(self, path: Path) -> None:
        self._step()
        super().make_folder(path)


def race(root: Path) -> None:
    gate, opened = os.pipe()
    shared, *others = [patch(seed) for seed in range(3)]
    children = []
    for mine in others:
        child = os.fork()
        if child == 0:
            store = Store(root)
            os.read(gate, 1)
            say(f"same {store.publish(shared, name='same').created}")
            try:
                say(f"other {store.publish(mine, name='other', expected=0).created}")
            except ConflictError:
                say("other conflict")
            os._exit(0)
        children.append(child)
    os.write(opened, b"go")
    for child in children:
        os.waitpid(child, 0)


def kill(root: Path) -> None:
    work = patch(0)
    for step in itertools.count(1):
        child = os.fork()
        if child == 0:
            Store(root / str(step), files=Dying(step)).publish(work)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        say("killed" if os.WIFSIGNALED(status) else "finished")
        if not os.WIFSIGNALED(status):
            return


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    race(Path(sys.argv[1]))
    kill(Path(sys.argv[2]))
