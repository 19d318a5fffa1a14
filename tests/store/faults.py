"""A disk in memory that remembers what was synced, and a process on it that can be killed.

A `Disk` holds every file and folder twice: as a running machine sees it, and as it is sure to be
found after a power cut. In between lie the changes to a folder that were not synced: after a power
cut any of them may have reached the disk, in any order. `Process` is the `OsFiles` of one
process; it counts its operations, so that each in turn can kill it or fail.
"""

import errno
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Union

from rwsstore.files import FileMark, OsFiles

Snapshot = dict[str, Union[bytes, "Snapshot"]]
Node = Union["File", "Folder"]


class Killed(BaseException):
    """The process is dead; no `except Exception` can stop that."""


@dataclass
class File:
    content: bytes = b""
    synced: bool = False

    def images(self) -> Iterator[bytes]:
        yield self.content
        if not self.synced:
            yield b""
            yield self.content[: len(self.content) // 2]


@dataclass
class Folder:
    entries: dict[str, Node] = field(default_factory=dict)
    durable: dict[str, Node] = field(default_factory=dict)
    pending: list[dict[str, Node | None]] = field(default_factory=list)
    changes: int = 0

    def change(self, names: dict[str, Node | None]) -> None:
        """Give names to nodes, None for taking one away; all at once."""
        _apply(self.entries, names)
        self.pending.append(names)
        self.changes += 1

    def sync(self) -> None:
        self.durable = dict(self.entries)
        self.pending.clear()

    def images(self) -> Iterator[Snapshot]:
        """What a power cut may leave: every subset of what was not synced."""
        for kept in itertools.product((False, True), repeat=len(self.pending)):
            entries = dict(self.durable)
            for names in itertools.compress(self.pending, kept):
                _apply(entries, names)
            below: list[list[bytes | Snapshot]] = [[*node.images()] for node in entries.values()]
            for contents in itertools.product(*below):
                yield dict(zip(entries, contents, strict=True))

    def now(self) -> Snapshot:
        return {
            name: node.content if isinstance(node, File) else node.now()
            for name, node in self.entries.items()
        }


def _apply(entries: dict[str, Node], names: dict[str, Node | None]) -> None:
    for name, node in names.items():
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node


def _load(snapshot: Snapshot) -> Folder:
    entries: dict[str, Node] = {
        name: _load(value) if isinstance(value, dict) else File(value, synced=True)
        for name, value in snapshot.items()
    }
    return Folder(entries, dict(entries))


class Disk:
    """A disk, at first with what a snapshot holds, all of it synced."""

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        self.top = _load(snapshot or {})

    def now(self) -> Snapshot:
        """What a running machine sees."""
        return self.top.now()

    def after_power_cut(self) -> list[Snapshot]:
        """All that may be found after a power cut, each once."""
        found: list[Snapshot] = []
        for image in self.top.images():
            if image not in found:
                found.append(image)
        return found


class Process(OsFiles):
    """The file layer of one process.

    Args:
        disk: what it works on.
        kill_at: the number of the writing operation, from 1 on, before which it is killed.
        fail_at: the number of the one that fails.
        number: how it fails.
        lasting: whether all later operations of the kinds that `number` concerns fail as well.
    """

    def __init__(
        self,
        disk: Disk,
        *,
        kill_at: int = 0,
        fail_at: int = 0,
        number: int = errno.ENOSPC,
        lasting: bool = False,
    ) -> None:
        self.disk = disk
        self.count = 0
        self.trace: list[str] = []
        self.failures = 0
        self.reads: list[Path] = []
        self._kill_at, self._fail_at = kill_at, fail_at
        self._number, self._lasting = number, lasting
        self._dead = False
        self._locks: dict[Path, threading.Lock] = {}

    def _step(self, operation: str, path: Path) -> None:
        if not self._dead:
            self.count += 1
            self.trace.append(f"{operation} {path}")
        if self._dead or self.count == self._kill_at:
            self._dead = True
            raise Killed
        failing = self.count == self._fail_at or (self._lasting and self.count > self._fail_at > 0)
        # A full disk still lets files be removed and folders be synced.
        if failing and not (self._number == errno.ENOSPC and operation in ("unlink", "sync")):
            self.failures += 1
            raise OSError(self._number, os.strerror(self._number))

    def _find(self, path: Path) -> Node:
        node: Node = self.disk.top
        for name in path.parts[1:]:
            if isinstance(node, File):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
            if name not in node.entries:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
            node = node.entries[name]
        return node

    def _file(self, path: Path) -> File:
        node = self._find(path)
        if isinstance(node, Folder):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        return node

    def _folder(self, path: Path) -> Folder:
        node = self._find(path)
        if isinstance(node, File):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        return node

    def size(self, path: Path) -> int:
        return len(self._file(path).content)

    def mark(self, path: Path) -> FileMark:
        node = self._find(path)
        if isinstance(node, File):
            return FileMark((0, id(node)), len(node.content), 0, 0)
        return FileMark((0, id(node)), 0, node.changes, node.changes)

    def read(self, path: Path, limit: int) -> bytes:
        self.reads.append(path)
        return self._file(path).content[: limit + 1]

    def create(self, path: Path, data: bytes) -> None:
        folder, file = self._folder(path.parent), File()
        if path.name in folder.entries:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        self._step("create", path)
        folder.change({path.name: file})
        for part in (data[: len(data) // 2], data):  # the first one is a short write
            self._step("write", path)
            file.content = part
        self._step("chmod", path)
        self._step("fsync", path)
        file.synced = True

    def fsync_folder(self, path: Path) -> None:
        folder = self._folder(path)
        self._step("sync", path)
        folder.sync()

    def rename(self, source: Path, target: Path) -> None:
        node, left, right = (
            self._find(source),
            self._folder(source.parent),
            self._folder(target.parent),
        )
        self._step("rename", target)
        if left is right:
            left.change({source.name: None, target.name: node})
        else:
            left.change({source.name: None})
            right.change({target.name: node})

    def unlink(self, path: Path) -> None:
        self._file(path)
        self._step("unlink", path)
        self._folder(path.parent).change({path.name: None})

    def make_folder(self, path: Path) -> None:
        parent = self._folder(path.parent)
        if path.name in parent.entries:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        self._step("mkdir", path)
        parent.change({path.name: Folder()})

    def names(self, path: Path) -> tuple[str, ...]:
        return tuple(sorted(self._folder(path).entries))

    def is_file(self, path: Path) -> bool:
        return self._is(path, File)

    def is_folder(self, path: Path) -> bool:
        return self._is(path, Folder)

    def _is(self, path: Path, kind: type[File] | type[Folder]) -> bool:
        try:
            return isinstance(self._find(path), kind)
        except OSError:
            return False

    @contextmanager
    def lock(self, path: Path, timeout: float) -> Iterator[None]:
        lock = self._locks.setdefault(path, threading.Lock())
        if not lock.acquire(timeout=timeout):
            raise TimeoutError
        try:
            yield
        finally:
            lock.release()


def operations(snapshot: Snapshot, work: Callable[[Process], object]) -> list[str]:
    """The writing operations of some work that is left in peace."""
    process = Process(Disk(snapshot))
    work(process)
    return process.trace
