"""Changes of a store folder, each under its lock: publishing, removing, repairing, collecting."""

import errno
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from rwsstore import errors
from rwsstore.canonical import Digest
from rwsstore.files import is_temporary, make_folders, write_atomic
from rwsstore.files.atomic import reading, writing
from rwsstore.patches import Patch
from rwsstore.store.folder import MARKER, MAX_OBJECT_BYTES, StoreFolder, check_name
from rwsstore.store.records import Finding, FsckReport, GcReport, Problem, Published, Version

_Files = Mapping[Digest, bytes]
Witness = Callable[[Published], None]

_OURS = frozenset(
    {"store.json", "objects", "refs", "quarantine", "index.jsonl", "index.sqlite", "lock"}
)

_NOT_OURS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EINVAL})
"""What syncing a folder above the store may answer where we have no business."""


def _create(folder: StoreFolder) -> None:
    root, files = folder.root, folder.files
    names = folder.names(root)
    leftovers = [name for name in names if is_temporary(name)]
    foreign = [name for name in names if name not in _OURS and name not in leftovers]
    if foreign:
        raise errors.ConfigError(
            f"{root} is no store, and not empty (it holds {foreign[0]!r}). Choose an empty folder."
        )
    for name in leftovers:
        folder.remove(root / name)
    make_folders(folder.objects.root, files=files)
    make_folders(folder.refs.root, files=files)
    # The folders may stem from a process that was killed before it could sync them; once the
    # marker is there, nobody looks at them again.
    with writing(root):
        files.fsync_folder(root)
        for above in root.parents:
            try:
                files.fsync_folder(above)
            except OSError as error:
                if error.errno not in _NOT_OURS:
                    raise
    write_atomic(folder.marker, MARKER.encode(), files=files)


class Publisher:
    """Publishes to the uppermost layer.

    What that layer refers to, it holds itself: the parts of a composed patch, and the older
    versions of a name that lay underneath, are copied up. So a layer underneath may be replaced,
    as an upgrade of the package does, and nothing here breaks.

    Args:
        layers: the uppermost first.
        versions: finds the versions of a name in all of them.
    """

    def __init__(
        self, layers: Sequence[StoreFolder], versions: Callable[[str], Sequence[Version]]
    ) -> None:
        self._top, self._layers, self._versions = layers[0], layers, versions

    def publish(
        self, patch: Patch, name: str | None, expected: int | None, witness: Witness
    ) -> Published:
        """Publish; `Store.publish` says how."""
        self._top.check_writable()
        name = check_name(patch.metadata.name if name is None else name)
        data = patch.to_bytes()
        if len(data) > MAX_OBJECT_BYTES:
            raise errors.FormatError(
                f"patch of {len(data)} bytes; at most {MAX_OBJECT_BYTES} are stored."
            )
        patch = Patch.from_bytes(data)  # nothing is stored that could not be loaded
        if expected is not None and (isinstance(expected, bool) or expected < 0):
            raise errors.ConfigError(
                f"expected version is {expected!r}; 0 (none) or the latest one's number."
            )
        seen = self._digests(name)
        make_folders(self._top.root, files=self._top.files)
        with self._top.locked():
            if not self._top.is_store():
                _create(self._top)
            parts = self._read_parts(patch)
            current = self._digests(name)
            if current[-1:] == (patch.digest,):
                if self._top.refs.has(name):  # make durable, and whole again, what is there
                    self._top.objects.write(patch.digest, data)
                    self._top.refs.settle()
                return Published(patch.digest, name, len(current), created=False)
            if current != seen or expected not in (None, len(current)):
                raise errors.ConflictError(
                    f"name {name!r} moved: version {len(seen) if expected is None else expected} "
                    f"was expected, {len(current)} is the latest (0: none). Look at it, then "
                    "publish again."
                )
            # Of the older versions, those that only a layer underneath holds.
            objects = {
                digest: self._read(digest, "an older version")
                for digest in current
                if not self._top.objects.has(digest) and _holder(self._layers, digest)
            }
            objects |= {**parts, patch.digest: data}
            made = Published(patch.digest, name, len(current) + 1, created=True)
            self._write(made, current, objects, witness)
        return made

    def _digests(self, name: str) -> tuple[Digest, ...]:
        return tuple(version.digest for version in self._versions(name))

    def _read_parts(self, patch: Patch) -> _Files:
        """The parts of a composed patch, each one there, whole, and fit to be one."""
        parts = {}
        for digest, _ in patch.parts:
            parts[digest] = self._read(digest, f"a part of {patch.name!r}")
            part = Patch.from_bytes(parts[digest])
            if part.parts:
                raise errors.MismatchError(
                    f"part {part.name!r} ({digest}) of {patch.name!r} is composed itself: name its "
                    "parts instead."
                )
            if part.metadata.clean_weights != patch.metadata.clean_weights:
                raise errors.MismatchError(
                    f"part {part.name!r} ({digest}) of {patch.name!r} belongs to another clean "
                    f"model, {part.metadata.clean_weights}."
                )
        return parts

    def _read(self, digest: Digest, what: str) -> bytes:
        # Not `StoreFolder.read`, which would wait for the lock that is held here.
        holder = _holder(self._layers, digest)
        if holder is None:
            raise errors.UnknownPatchError(
                f"{what}, {digest}, is not in the store: publish it first."
            )
        return holder.objects.read(digest)

    def _write(
        self, made: Published, current: tuple[Digest, ...], objects: _Files, witness: Witness
    ) -> None:
        top = self._top
        before = top.refs.read(made.name)
        new = [found for found in objects if not top.objects.has(found)]
        try:
            for found, data in objects.items():
                top.objects.write(found, data)
            witness(made)
            top.refs.write(made.name, (*current, made.digest))
        except errors.RwsError:
            if self._restore(made.name, before):
                for found in new:
                    with suppress(OSError):
                        top.files.unlink(top.objects.path(found))
            raise

    def _restore(self, name: str, versions: tuple[Digest, ...]) -> bool:
        """Put a name back after a write of it failed; say whether that is durable."""
        refs = self._top.refs
        with suppress(errors.RwsError):
            if refs.read(name) != versions:
                if versions:
                    refs.write(name, versions)
                else:
                    self._top.remove(refs.path(name))
            return True
        return False


def _holder(layers: Sequence[StoreFolder], digest: Digest) -> StoreFolder | None:
    """The uppermost layer that holds an object."""
    return next((layer for layer in layers if layer.objects.has(digest)), None)


def remove_name(folder: StoreFolder, name: str) -> bool:
    """Remove a name, durably; say whether it was there."""
    with folder.locked():
        found = folder.refs.has(name)
        if found:
            folder.remove(folder.refs.path(name))
        else:  # perhaps a process was killed that had removed it, but not synced
            folder.refs.settle()
        return found


def _objects(folder: StoreFolder) -> dict[Path, Digest]:
    """All files among the objects, sorted; those that are none with an empty digest."""
    found = {}
    for shard in folder.names(folder.objects.root):
        above = folder.objects.root / shard
        inside = folder.objects.in_shard(shard) if folder.files.is_folder(above) else (above,)
        found.update({path: folder.objects.digest_of(path) for path in inside})
    return found


def _temporaries(folder: StoreFolder) -> tuple[Path, ...]:
    """Files that writes left behind; under the lock nobody is still writing them."""
    objects = folder.objects.root
    places = [folder.root, folder.refs.root, objects]
    places += [objects / name for name in folder.names(objects)]
    return tuple(
        place / name
        for place in places
        if folder.files.is_folder(place)
        for name in folder.names(place)
        if is_temporary(name)
    )


class Checker:
    """One full check of one folder.

    Args:
        folder: to be checked.
        below: the layers underneath, where an object may lie too.
        repair: as in `Store.fsck`; then the lock is held.
    """

    def __init__(self, folder: StoreFolder, below: Sequence[StoreFolder], *, repair: bool) -> None:
        self._folder, self._below, self._repair = folder, below, repair
        self._good: dict[Digest, tuple[Digest, ...]] = {}
        self._findings: list[Finding] = []

    def run(self) -> FsckReport:
        """Read and hash all objects, then follow all names."""
        files = _objects(self._folder)
        digests = [digest for digest in files.values() if digest]
        for digest in digests:
            self._check_object(digest)
        names = self._folder.refs.names()
        reached = {digest for name in names for digest in self._check_ref(name)}
        reached |= {part for digest in reached for part in self._check_parts(digest)}
        self._check_leftovers([path for path, digest in files.items() if not digest])
        unreferenced = tuple(digest for digest in self._good if digest not in reached)
        return FsckReport(len(digests), len(names), tuple(self._findings), unreferenced)

    def _check_object(self, digest: Digest) -> None:
        try:
            patch = Patch.from_bytes(self._folder.objects.read(digest))
        except (errors.IntegrityError, errors.RefusedError) as error:
            path = self._folder.objects.path(digest)
            self._found("damaged object", digest, str(error), partial(self._folder.isolate, path))
        else:
            self._good[digest] = tuple(part for part, _ in patch.parts)

    def _check_ref(self, name: str) -> tuple[Digest, ...]:
        try:
            versions = self._folder.refs.read(name)
        except errors.IntegrityError as error:
            path = self._folder.refs.path(name)
            self._found("damaged ref", name, str(error), partial(self._folder.isolate, path))
            return ()
        for version, digest in enumerate(versions, start=1):
            self._check_there("missing object", f"{name}@{version}", digest)
        return versions

    def _check_parts(self, digest: Digest) -> tuple[Digest, ...]:
        parts = self._good.get(digest, ())
        for part in parts:
            self._check_there("missing part", digest, part)
        return parts

    def _check_there(self, problem: Problem, subject: str, digest: Digest) -> None:
        if digest not in self._good and _holder(self._below, digest) is None:
            self._found(problem, subject, f"no good object {digest}.")

    def _check_leftovers(self, strays: list[Path]) -> None:
        folder, refs = self._folder, self._folder.refs
        strays += [refs.root / file for file in folder.names(refs.root) if not refs.name_of(file)]
        for path in strays:
            if not is_temporary(path.name):
                detail, repair = "neither an object nor a ref.", partial(folder.isolate, path)
                self._found("stray file", str(path.relative_to(folder.root)), detail, repair)
        for path in _temporaries(folder):
            detail, remove = "an interrupted write left it behind.", partial(folder.remove, path)
            self._found("temporary", str(path.relative_to(folder.root)), detail, remove)

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
        self._findings.append(Finding(problem, subject, detail, self._folder.name, repaired))


def collect(folder: StoreFolder, keep: Iterable[Digest], *, dry_run: bool) -> GcReport:
    """Remove, or count only, what `Store.gc` says; the lock is held."""
    reached: set[Digest] = set()
    left = [digest for name in folder.refs.names() for digest in folder.refs.read(name)]
    left += keep
    while left:
        digest = left.pop()
        if digest in reached:
            continue
        reached.add(digest)
        try:
            patch = Patch.from_bytes(folder.objects.read(digest))
        except errors.UnknownPatchError:
            continue  # in a layer underneath, or an old digest that the caller still lists
        except errors.RefusedError as error:
            raise errors.IntegrityError(f"object {digest} is no patch: {error}") from error
        left += [part for part, _ in patch.parts]
    found = {path: digest for path, digest in _objects(folder).items() if digest}
    garbage = {path: digest for path, digest in found.items() if digest not in reached}
    temporaries = _temporaries(folder)
    unwanted = [*garbage, *temporaries]
    freed = 0
    for path in unwanted:
        with reading(path, "store"):
            freed += folder.files.size(path)
    if not dry_run:
        for path in unwanted:
            folder.remove(path)
    kept = len(found) - len(garbage)
    return GcReport(tuple(garbage.values()), freed, len(temporaries), kept, dry_run)
