"""Where a live model gets its patches from."""

__all__ = ["PatchBag", "PatchSource"]

from collections.abc import Iterable
from typing import Protocol

from rwsstore.canonical import Digest
from rwsstore.errors import UnknownPatchError
from rwsstore.patches import Patch


class PatchSource(Protocol):
    """Anything that finds a patch by name, version or digest: a store, or a `PatchBag`."""

    def resolve(self, ref: str) -> Digest:
        """Find the digest of a patch; asked at every change of a patch set.

        Raises:
            UnknownPatchError: there is none.
        """

    def get(self, ref: str) -> Patch:
        """Return the patch; asked once a digest.

        Raises:
            UnknownPatchError: there is none.
        """


class PatchBag:
    """Patches held in memory, found by name or digest."""

    def __init__(self, patches: Iterable[Patch] = ()) -> None:
        self._by_digest: dict[str, Patch] = {}
        self._by_name: dict[str, Patch] = {}
        for patch in patches:
            self.add(patch)

    def add(self, patch: Patch) -> None:
        """Put a patch in; a later one of the same name hides an earlier one."""
        self._by_digest[patch.digest] = patch
        self._by_name[patch.name] = patch

    def resolve(self, ref: str) -> Digest:
        """Find the digest of the patch of this name or digest.

        Raises:
            UnknownPatchError: there is none.
        """
        return self.get(ref).digest

    def get(self, ref: str) -> Patch:
        """Return the patch of this name or digest.

        Raises:
            UnknownPatchError: there is none.
        """
        # Digests first, so that no name can stand in for another patch's digest.
        patch = self._by_digest.get(ref) or self._by_name.get(ref)
        if patch is None:
            raise UnknownPatchError(
                f"no patch {ref!r}; at hand are: {', '.join(sorted(self._by_name)) or 'none'}"
            )
        return patch
