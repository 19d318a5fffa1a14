"""Checking a whole store folder, and removing from it what nothing reaches."""

from collections.abc import Callable, Iterable
from pathlib import Path

from rwsstore.canonical import Digest
from rwsstore.errors import IntegrityError, RefusedError, UnknownPatchError
from rwsstore.patches import Patch
from rwsstore.store.layout import StorePaths
from rwsstore.store.objects import Objects, Refs
from rwsstore.store.records import Finding, FsckReport, GcReport, LayerName, Problem


class Checker:
    """One full check of one folder.

    Args:
        layout: the folder.
        layer: its name in findings.
        elsewhere: whether a layer underneath holds an object.
        repair: move damaged objects, damaged refs and strays to quarantine, and remove temporary
            files. The caller holds the lock. Without it nothing is changed.
    """

    def __init__(
        self,
        layout: StorePaths,
        layer: LayerName,
        elsewhere: Callable[[Digest], bool],
        *,
        repair: bool,
    ) -> None:
        self._layout, self._layer, self._elsewhere = layout, layer, elsewhere
        self._repair = repair
        self._objects, self._refs = Objects(layout), Refs(layout)
        self._good: dict[Digest, tuple[Digest, ...]] = {}
        self._findings: list[Finding] = []

    def run(self) -> FsckReport:
        """Read and hash all objects, then follow all names."""
        digests = self._objects.digests()
        for digest in digests:
            self._check_object(digest)
        names = self._refs.names()
        reached = {digest for name in names for digest in self._check_ref(name)}
        reached |= {part for digest in reached for part in self._check_parts(digest)}
        self._check_leftovers()
        unreferenced = tuple(digest for digest in self._good if digest not in reached)
        return FsckReport(len(digests), len(names), tuple(self._findings), unreferenced)

    def _check_object(self, digest: Digest) -> None:
        try:
            patch = Patch.from_bytes(self._objects.read(digest))
        except (IntegrityError, RefusedError) as error:
            path = self._objects.path(digest)
            self._found("damaged object", digest, str(error), lambda: self._layout.isolate(path))
        else:
            self._good[digest] = tuple(part for part, _ in patch.parts)

    def _check_ref(self, name: str) -> tuple[Digest, ...]:
        try:
            versions = self._refs.read(name)
        except IntegrityError as error:
            path = self._refs.path(name)
            self._found("damaged ref", name, str(error), lambda: self._layout.isolate(path))
            return ()
        for version, digest in enumerate(versions, start=1):
            if not self._is_there(digest):
                self._found("missing object", f"{name}@{version}", f"no good object {digest}.")
        return versions

    def _check_parts(self, digest: Digest) -> tuple[Digest, ...]:
        parts = self._good.get(digest, ())
        for part in parts:
            if not self._is_there(part):
                self._found("missing part", digest, f"no good object {part}.")
        return parts

    def _is_there(self, digest: Digest) -> bool:
        return digest in self._good or self._elsewhere(digest)

    def _check_leftovers(self) -> None:
        for path in (*self._objects.strays(), *self._refs.strays()):
            detail = "neither an object nor a ref."
            self._found_file("stray file", path, detail, self._layout.isolate)
        for path in self._layout.temporaries():
            detail = "an interrupted write left it behind."
            self._found_file("temporary", path, detail, self._layout.remove)

    def _found_file(
        self, problem: Problem, path: Path, detail: str, repair: Callable[[Path], object]
    ) -> None:
        subject = str(path.relative_to(self._layout.root))
        self._found(problem, subject, detail, lambda: repair(path))

    def _found(
        self,
        problem: Problem,
        subject: str,
        detail: str,
        repair: Callable[[], object] | None = None,
    ) -> None:
        repaired = self._repair and repair is not None
        if self._repair and repair is not None:
            repair()
        self._findings.append(Finding(problem, subject, detail, self._layer, repaired))


class Collector:
    """Removes objects that no name, kept composed patch or caller reaches.

    The caller holds the lock.
    """

    def __init__(self, layout: StorePaths) -> None:
        self._layout = layout
        self._objects, self._refs = Objects(layout), Refs(layout)

    def run(self, keep: Iterable[Digest], *, dry_run: bool) -> GcReport:
        """Remove, or count only.

        Raises:
            IntegrityError: a ref or a reached object is damaged, so that what it reaches is not
                known; nothing was removed.
        """
        reached = self._reached(keep)
        digests = self._objects.digests()
        garbage = tuple(digest for digest in digests if digest not in reached)
        temporaries = self._layout.temporaries()
        freed = sum(self._objects.size(digest) for digest in garbage)
        freed += sum(self._layout.files.size(path) for path in temporaries)
        if not dry_run:
            for digest in garbage:
                self._objects.remove(digest)
            for path in temporaries:
                self._layout.remove(path)
        return GcReport(garbage, freed, len(temporaries), len(digests) - len(garbage), dry_run)

    def _reached(self, keep: Iterable[Digest]) -> set[Digest]:
        left = [digest for name in self._refs.names() for digest in self._refs.read(name)]
        left += keep
        reached: set[Digest] = set()
        while left:
            digest = left.pop()
            if digest not in reached:
                reached.add(digest)
                left += self._parts(digest)
        return reached

    def _parts(self, digest: Digest) -> list[Digest]:
        try:
            patch = Patch.from_bytes(self._objects.read(digest))
        except UnknownPatchError:
            return []  # in a layer underneath, or an old digest that the caller still lists
        except RefusedError as error:
            raise IntegrityError(f"object {digest} is no patch: {error}") from error
        return [part for part, _ in patch.parts]
