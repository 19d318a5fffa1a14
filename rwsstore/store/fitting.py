"""A store as one model sees it."""

__all__ = ["FittingStore"]

from rwsstore.canonical import Digest
from rwsstore.patches import ModelIdentity, Patch
from rwsstore.store.names import parse_reference
from rwsstore.store.records import Entry
from rwsstore.store.store import Store


class FittingStore:
    """A store in which a plain name stands for the newest version made for one model.

    Patches of several models may share a name: one's own `fog` over the bundled one. Versions and
    digests mean what they mean in the store; a name of which no version was made for the model
    stands for its latest, so that the refusal can say what is there.

    Args:
        store: the store.
        model: the clean model's identity.
    """

    def __init__(self, store: Store, model: ModelIdentity) -> None:
        self._store, self._model = store, model
        self._weights: dict[Digest, Digest] = {}  # a digest is always one patch: asked once

    def resolve(self, ref: str) -> Digest:
        """Find the digest that a reference stands for.

        Raises:
            RwsError: as `Store.resolve` and `Store.get`.
        """
        latest = self._store.resolve(ref)
        reference = parse_reference(ref)
        if not reference.name or reference.version is not None or self._fits(latest):
            return latest
        versions = reversed(self._store.history(reference.name))
        fitting = (one.digest for one in versions if self._fits(one.digest))
        return next(fitting, latest)

    def get(self, ref: str) -> Patch:
        """Read the patch that a reference stands for.

        Raises:
            RwsError: as `resolve`.
        """
        return self._store.get(self.resolve(ref))

    def list(self, *, kind: str | None = None, corruption: str | None = None) -> tuple[Entry, ...]:
        """List the newest version of each name that was made for the model, by name.

        Raises:
            StoreError: as `Store.list`.
        """
        newest: dict[str, Entry] = {}
        entries = self._store.list(
            kind=kind,
            corruption=corruption,
            architecture=self._model.architecture,
            all_versions=True,
        )
        for entry in sorted(entries, key=lambda entry: (entry.name, entry.version)):
            if entry.clean_weights == self._model.clean_weights:
                newest[entry.name] = entry
        return tuple(newest.values())

    def _fits(self, digest: Digest) -> bool:
        if digest not in self._weights:
            self._weights[digest] = self._store.get(digest).metadata.clean_weights
        return self._weights[digest] == self._model.clean_weights
