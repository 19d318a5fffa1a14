"""A process of its own that writes to a store; run by tests/store/test_writers.py.

`race ROOT SEED` says `ready`, waits for a line, then publishes under two names. `kill ROOT` has a
child publish to ROOT/1 and be killed before its first writing operation, then one to ROOT/2 before
its second, until one finishes.
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


def race(root: Path, seed: int) -> None:
    store, mine, shared = Store(root), patch(seed), patch(0)
    say("ready")
    sys.stdin.readline()
    say(f"same {store.publish(shared, name='same').created}")
    try:
        say(f"other {store.publish(mine, name='other', expected=0).created}")
    except ConflictError:
        say("other conflict")


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
    if sys.argv[1] == "race":
        race(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        kill(Path(sys.argv[2]))
