"""Finding names and objects through the layers of a store, the uppermost first."""

__all__ = ["Lookup"]

import difflib
import logging

from rwsstore.canonical import Digest
from rwsstore.errors import ConfigError, RwsError, UnknownPatchError
from rwsstore.patches import Patch, Reach, reach_of
from rwsstore.store.index import Description
from rwsstore.store.layer import Layer
from rwsstore.store.names import check_name, parse_reference
from rwsstore.store.records import Version

_SHOWN = 5

_log = logging.getLogger(__name__)


class Lookup:
    """Reads through layers. A name in an upper layer hides all versions of it underneath."""

    def __init__(self, layers: tuple[Layer, ...]) -> None:
        self._layers = layers

    def has(self, digest: Digest) -> bool:
        """Whether any layer holds the object."""
        return any(layer.objects.has(digest) for layer in self._layers)

    def read(self, digest: Digest) -> bytes:
        """Read an object from the uppermost layer that holds it.

        Raises:
            ConfigError, UnknownPatchError, IntegrityError, StoreError: as `Store.read`.
        """
        holders = [layer for layer in self._layers if layer.objects.has(digest)]
        if not holders:
            raise UnknownPatchError(f"no patch {digest} in the store.")
        return holders[0].read(digest)

    def reach(self, patch: Patch) -> Reach:
        """How much of its model a patch touches, its parts read where it is composed.

        Raises:
            RwsError: a part is missing or damaged.
        """
        parts = [Patch.from_bytes(self.read(digest)).metadata for digest, _ in patch.parts]
        return reach_of(patch.metadata, parts)

    def describe(self, digest: Digest) -> Description | None:
        """Describe an object for the index; None, and a warning, where that cannot be done."""
        try:
            patch = Patch.from_bytes(self.read(digest))
        except RwsError as error:
            _log.warning("left out of the listing: %s", error)
            return None
        try:
            return Description.of(patch, self.reach(patch))
        except RwsError as error:
            _log.warning("not known what %s touches: %s", patch.name, error)
            return Description.of(patch, reach_of(patch.metadata), whole=False)

    def versions(self, name: str) -> tuple[Version, ...]:
        """All versions of a name, the oldest first; none if no layer has it.

        Raises:
            ConfigError: the name is malformed.
            IntegrityError: the name's file is damaged.
        """
        check_name(name)
        for layer in self._layers:
            digests = layer.refs.read(name)
            if digests:
                return tuple(
                    Version(name, version, digest, layer.name)
                    for version, digest in enumerate(digests, start=1)
                )
        return ()

    def history(self, name: str) -> tuple[Version, ...]:
        """All versions of a name that exists.

        Raises:
            ConfigError, IntegrityError: as `versions`.
            UnknownPatchError: no layer has it; near names are suggested.
        """
        versions = self.versions(name)
        if not versions:
            raise UnknownPatchError(f"no patch named {name!r} in the store.{self._near(name)}")
        return versions

    def names(self) -> set[str]:
        """The names of all layers."""
        return {name for layer in self._layers for name in layer.refs.names()}

    def _near(self, name: str) -> str:
        close = difflib.get_close_matches(name, sorted(self.names()), n=3)
        return f" Did you mean {', '.join(map(repr, close))}?" if close else ""

    def resolve(self, reference: str) -> Digest:
        """Find the digest that a reference stands for.

        Raises:
            ConfigError, UnknownPatchError, IntegrityError: as `Store.resolve`.
        """
        wanted = parse_reference(reference)
        if wanted.prefix:
            return self._resolve_prefix(wanted.prefix)
        versions = self.history(wanted.name)
        number = wanted.version or len(versions)
        if number > len(versions):
            raise UnknownPatchError(
                f"no patch {reference!r} in the store: {wanted.name!r} has versions 1 to "
                f"{len(versions)}."
            )
        return versions[number - 1].digest

    def _resolve_prefix(self, prefix: Digest) -> Digest:
        found = sorted({name for layer in self._layers for name in layer.objects.matching(prefix)})
        if not found:
            raise UnknownPatchError(f"no patch whose digest begins with {prefix} in the store.")
        if len(found) > 1:
            raise ConfigError(
                f"{prefix} begins the digests of {len(found)} patches: "
                f"{', '.join(found[:_SHOWN])}. Give more digits."
            )
        return found[0]
