"""The store as the service offers it: descriptions, uploads, compositions, downloads."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from rwsstore import errors
from rwsstore.canonical import Digest
from rwsstore.patches import ModelIdentity, Patch, compose, reach_of
from rwsstore.runtime import Chosen
from rwsstore.store import Contents, Entry, Published, Sort, Store, in_order
from rwsstore.store.folder import check_name, parse_reference
from rwsstore_service.engine.errors import DuplicatePatchError, PatchInUseError
from rwsstore_service.engine.finding import Choice, Finder
from rwsstore_service.engine.journal import Journal
from rwsstore_service.engine.records import Actor, Note, StoreAction


@dataclass(frozen=True)
class Described:
    """One patch of the store.

    Attributes:
        name: the name that reaches it, or its own.
        version: under that name; None where no name reaches it.
        fits: whether it was extracted from the served clean model.
        contents: what it is.
        parts: (name, digest, α) of a composed patch.
        touched_bytes: of the model's tensors, that it touches; None where a part of a composed
            patch is missing or damaged.
    """

    name: str
    version: int | None
    digest: Digest
    layer: Literal["user", "bundled"]
    fits: bool
    contents: Contents
    parts: tuple[tuple[str, Digest, float], ...]
    touched_bytes: int | None


@dataclass(frozen=True)
class Listing:
    """What to list; `fits` is whether made for the served model, None for all."""

    kind: str | None = None
    corruption: str | None = None
    bits: int | None = None
    fits: bool | None = None
    all_versions: bool = False
    sort: Sort = "name"


_log = logging.getLogger(__name__)


class Library:
    """Reads may come from any thread; changes are made in one thread only.

    The journal is where changes are written down, and its history must stay whole.
    """

    def __init__(
        self, store: Store, finder: Finder, model: ModelIdentity, journal: Journal
    ) -> None:
        self._store, self._finder, self._model, self._journal = store, finder, model, journal
        self._contents = finder.store.describe

    def describe(self, reference: str) -> Described:
        """Describe one patch.

        Raises:
            RwsError: it is not there, or damaged.
        """
        digest = self._finder.store.resolve(reference)
        name = parse_reference(reference).name
        versions = self._store.history(name) if name else ()
        for version in reversed(versions):
            if version.digest == digest:
                return self._described(version.name, version.version, digest, version.layer)
        for entry in self._store.list(all_versions=True):
            if entry.digest == digest:
                return self._described(entry.name, entry.version, digest, entry.layer)
        return self._described(self._contents(digest).metadata.name, None, digest, "user")

    def list(self, wanted: Listing, offset: int, limit: int) -> tuple[tuple[Described, ...], int]:
        """List patches in order, a page of them, and say how many there are.

        Without `all_versions`, of each name the version that the name stands for. What is damaged
        is left out and logged as a warning.

        Raises:
            StoreError: the store could not be read.
        """
        entries = self._store.list(
            kind=wanted.kind, corruption=wanted.corruption, bits=wanted.bits, all_versions=True
        )
        if not wanted.all_versions:
            meant: dict[str, Entry] = {}
            for entry in entries:
                before = meant.get(entry.name)
                if before is None or self._fits(entry) or not self._fits(before):
                    meant[entry.name] = entry
            entries = tuple(meant.values())
        if wanted.fits is not None:
            entries = tuple(one for one in entries if self._fits(one) == wanted.fits)
        sound = [one for one in in_order(entries, wanted.sort) if self._store.has(one.digest)]
        described: list[Described] = []
        while len(described) < len(sound[offset : offset + limit]):
            one = sound[offset + len(described)]
            try:
                described.append(self._described(one.name, one.version, one.digest, one.layer))
            except (errors.RefusedError, errors.IntegrityError, errors.UnknownPatchError) as error:
                _log.warning("left out of the listing: %s", error)
                sound.remove(one)
        return tuple(described), len(sound)

    def content(self, reference: str) -> tuple[Digest, bytes]:
        """Read a patch's file.

        Raises:
            RwsError: it is not there, or damaged.
        """
        digest = self._finder.store.resolve(reference)
        return digest, self._store.read(digest)

    def publish(
        self,
        data: bytes,
        actor: Actor,
        *,
        name: str | None = None,
        expected: int | None = None,
    ) -> Described:
        """Store an uploaded patch.

        Raises:
            DuplicatePatchError: it is the name's latest version already.
            RwsError: it is no patch; a name that is not allowed or has moved on; a part of a
                composed patch is not there; no space.
        """
        return self._store_patch(Patch.from_bytes(data), "publish", actor, name, expected)

    def compose(
        self,
        name: str,
        choices: Sequence[Choice],
        actor: Actor,
        *,
        expected: int | None = None,
    ) -> Described:
        """Store several patches at fixed strengths as one.

        Raises:
            RwsError: as `publish`; or a part that is not there, does not belong to the same
                model, or may not have that strength.
        """
        check_name(name)
        chosen = self._finder.choose(choices)
        parts = [(self._finder.store.get(one.digest), one.alpha) for one in chosen]
        if not parts:
            raise errors.ConfigError(
                f"composed patch {name!r} has no part with an alpha other than 0"
            )
        return self._store_patch(compose(name, parts), "compose", actor, None, expected)

    def delete(self, name: str, actor: Actor, *, active: Collection[Digest]) -> None:
        """Delete a name with all its versions, and what nothing else reaches.

        Args:
            name: in the user's layer.
            actor: who asks.
            active: digests in the active patch set, composed ones and their parts.

        Raises:
            PatchInUseError: the active set or the history refers to a version.
            ReadOnlyError: it lies in the bundled layer.
            RwsError: it is not there.
        """
        if parse_reference(name).name != name:
            raise errors.ConfigError(
                f"{name!r} is not a name: patches are deleted by name, with all their versions"
            )
        own = [version for version in self._store.history(name) if version.layer == "user"]
        if not own:
            raise errors.ReadOnlyError(f"patch {name!r} comes with rwsstore and cannot be deleted")
        digests = [version.digest for version in own]
        if set(digests) & set(active):
            raise PatchInUseError(f"patch {name!r} is in the active patch set: take it off first")
        generation = self._journal.refers_to(digests)
        if generation is not None:
            raise PatchInUseError(
                f"generation {generation} refers to patch {name!r}; it stays, so that the history "
                "can be rolled back to"
            )
        # First: nothing disappears without a record.
        self._write("delete", f"{name}@{own[-1].version}", digests[-1], actor)
        self._store.remove(name)
        try:
            self._store.gc()
        except errors.RwsError as error:  # the name is gone either way
            _log.warning("the bytes of %s stay for now: %s", name, error)

    def _store_patch(
        self,
        patch: Patch,
        action: Literal["publish", "compose"],
        actor: Actor,
        name: str | None,
        expected: int | None,
    ) -> Described:
        def write_down(made: Published) -> None:
            self._write(action, f"{made.name}@{made.version}", made.digest, actor)

        published = self._store.publish(patch, name=name, expected=expected, witness=write_down)
        if not published.created:
            raise DuplicatePatchError(published.digest, published.name, published.version)
        return self._described(published.name, published.version, published.digest, "user")

    def _write(self, action: StoreAction, subject: str, digest: Digest, actor: Actor) -> None:
        note = Note(
            actor=actor,
            action=action,
            subject=subject,
            patches=(Chosen(subject, digest, 0.0),),
            resolved=(),
            clean_weights=self._model.clean_weights,
            state_digest="",
            previous_digest="",
        )
        self._journal.append(note)

    def _fits(self, entry: Entry) -> bool:
        return entry.clean_weights == self._model.clean_weights

    def _described(
        self, name: str, version: int | None, digest: Digest, layer: Literal["user", "bundled"]
    ) -> Described:
        contents = self._contents(digest)
        fits = contents.metadata.clean_weights == self._model.clean_weights
        parts, known = [], []
        for part in contents.metadata.parts:
            try:
                known.append(self._contents(part.digest).metadata)
                part_name = known[-1].name
            except errors.RwsError as error:
                part_name = "" if isinstance(error, errors.UnknownPatchError) else "(damaged)"
            parts.append((part_name, part.digest, part.alpha))
        touched = None
        if len(known) == len(parts):
            touched = reach_of(contents.metadata, known).touched_bytes
        return Described(name, version, digest, layer, fits, contents, tuple(parts), touched)
