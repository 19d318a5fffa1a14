"""Publishing: an object first, then the name that refers to it; both durable, or neither."""

from collections.abc import Callable, Mapping

from rwsstore.canonical import Digest
from rwsstore.errors import (
    ConfigError,
    ConflictError,
    FormatError,
    MismatchError,
    RwsError,
    UnknownPatchError,
)
from rwsstore.patches import Patch
from rwsstore.store.layers import Lookup, StoreFolder
from rwsstore.store.layout import check_name
from rwsstore.store.objects import MAX_OBJECT_BYTES
from rwsstore.store.records import Published

Objects = Mapping[Digest, bytes]
Witness = Callable[[Published], None]


class Publisher:
    """Publishes to the uppermost layer.

    What that layer refers to, it holds itself: the parts of a composed patch, and the older
    versions of a name that lay underneath, are copied up. So a layer underneath may be replaced,
    as an upgrade of the package does, and nothing here breaks.
    """

    def __init__(self, layers: tuple[StoreFolder, ...]) -> None:
        self._top, self._layers = layers[0], layers
        self._lookup = Lookup(layers)

    def publish(
        self, patch: Patch, name: str | None, expected: int | None, witness: Witness
    ) -> Published:
        """Publish; `Store.publish` says how."""
        self._top.check_writable()
        name = check_name(patch.metadata.name if name is None else name)
        data = patch.to_bytes()
        if len(data) > MAX_OBJECT_BYTES:
            raise FormatError(f"patch of {len(data)} bytes; at most {MAX_OBJECT_BYTES} are stored.")
        patch = Patch.from_bytes(data)  # nothing is stored that could not be loaded
        if expected is not None and (isinstance(expected, bool) or expected < 0):
            raise ConfigError(
                f"expected version is {expected!r}; 0 (none) or the latest one's number."
            )
        seen = self._digests(name)
        with self._top.layout.prepared():
            parts = self._read_parts(patch)
            current = self._digests(name)
            if current[-1:] == (patch.digest,):
                self._settle(name, patch)
                return Published(patch.digest, name, len(current), created=False)
            if current != seen or expected not in (None, len(current)):
                raise ConflictError(
                    f"name {name!r} moved: version {len(seen) if expected is None else expected} "
                    f"was expected, {len(current)} is the latest (0: none). Look at it, then "
                    "publish again."
                )
            # Of the older versions, those that only a layer underneath holds.
            objects = {
                digest: self._read(digest, "an older version")
                for digest in current
                if self._lookup.has(digest) and not self._top.objects.has(digest)
            }
            objects |= {**parts, patch.digest: data}
            made = Published(patch.digest, name, len(current) + 1, created=True)
            self._write(made, current, objects, witness)
        return made

    def _digests(self, name: str) -> tuple[Digest, ...]:
        return tuple(version.digest for version in self._lookup.versions(name))

    def _read_parts(self, patch: Patch) -> Objects:
        """The parts of a composed patch, each one there, whole, and fit to be one."""
        parts = {}
        for digest, _ in patch.parts:
            parts[digest] = self._read(digest, f"a part of {patch.name!r}")
            part = Patch.from_bytes(parts[digest])
            if part.parts:
                raise MismatchError(
                    f"part {part.name!r} ({digest}) of {patch.name!r} is composed itself: name its "
                    "parts instead."
                )
            if part.metadata.clean_weights != patch.metadata.clean_weights:
                raise MismatchError(
                    f"part {part.name!r} ({digest}) of {patch.name!r} belongs to another clean "
                    f"model, {part.metadata.clean_weights}."
                )
        return parts

    def _read(self, digest: Digest, what: str) -> bytes:
        # Not `StoreFolder.read`, which would wait for the lock that is held here.
        for layer in self._layers:
            if layer.objects.has(digest):
                return layer.objects.read(digest)
        raise UnknownPatchError(f"{what}, {digest}, is not in the store: publish it first.")

    def _settle(self, name: str, patch: Patch) -> None:
        """Make durable, and whole again, what is published already."""
        if self._top.refs.has(name):
            self._top.objects.write(patch.digest, patch.to_bytes())
            self._top.refs.settle()

    def _write(
        self, made: Published, current: tuple[Digest, ...], objects: Objects, witness: Witness
    ) -> None:
        top = self._top
        before = top.refs.read(made.name)
        new = [found for found in objects if not top.objects.has(found)]
        try:
            for found, data in objects.items():
                top.objects.write(found, data)
            witness(made)
            top.refs.write(made.name, (*current, made.digest))
        except RwsError:
            if top.refs.restore(made.name, before):
                for found in new:
                    top.objects.discard(found)
            raise
