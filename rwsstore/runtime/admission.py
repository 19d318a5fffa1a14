"""Where a live model gets patches from, and which of them may be put on."""

from collections.abc import Iterable
from typing import Protocol

import torch

from rwsstore.cache import LruCache
from rwsstore.canonical import Digest
from rwsstore.errors import GoldenError, MismatchError, UnknownPatchError
from rwsstore.patches import Patch, PatchSet, check_fit, check_golden, probe_images
from rwsstore.runtime.variant import CleanModel, Variant, build_variant


class PatchSource(Protocol):
    """Anything that finds a patch by name, version or digest: a store, or a `PatchBag`.

    Where there is none, both raise UnknownPatchError.
    """

    def resolve(self, ref: str) -> Digest:
        """Find the digest of a patch; asked whenever one that is not at hand is named."""

    def get(self, ref: str) -> Patch:
        """Return the patch; asked where it is not at hand."""


class PatchBag:
    """Patches held in memory, found by name or digest; else UnknownPatchError is raised."""

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
        """Find the digest of the patch of this name or digest."""
        return self.get(ref).digest

    def get(self, ref: str) -> Patch:
        """Return the patch of this name or digest."""
        # Digests first, so that no name can stand in for another patch's digest.
        patch = self._by_digest.get(ref) or self._by_name.get(ref)
        if patch is None:
            raise UnknownPatchError(
                f"no patch {ref!r}; at hand are: {', '.join(sorted(self._by_name)) or 'none'}"
            )
        return patch


_REMEMBERED = 10_000
"""How many digests are remembered as admitted; an older one would be checked once more."""


class Admission:
    """Finds out which patches belong on a clean model, and remembers it by their digests.

    Safe to use from any thread; a patch that several put on at once may be checked by each.
    """

    def __init__(self, clean: CleanModel, *, allow_transfer: bool) -> None:
        self._admitted = LruCache[Digest, bool](_REMEMBERED)  # whether it is transferred
        self._clean, self._allow_transfer = clean, allow_transfer
        self._parameters = {
            name for name, _ in clean.module.named_parameters(remove_duplicate=False)
        }

    def admit(self, patch: Patch) -> bool:
        """Check that a patch fits the model and does what it recorded; admitted ones pass.

        Returns:
            Whether it comes from other clean weights.

        Raises:
            MismatchError: it belongs on another model, patches a tensor that is no weight, or is
                composed.
            GoldenError: it does not do on this model what it recorded.
            TensorError: the patched weights are not finite.
        """
        known = self._admitted.get(patch.digest)
        if known is not None:
            return known
        if patch.parts:
            raise MismatchError(
                f"patch {patch.name!r} is composed and cannot be a part of another one: name its "
                "parts instead"
            )
        transferred = check_fit(patch, self._clean.identity, allow_transfer=self._allow_transfer)
        others = sorted(set(patch.tensors) - self._parameters)
        if others:
            raise MismatchError(
                f"patch {patch.name!r} changes {others[0]!r}, which is no weight of the model but "
                "a buffer; running statistics and the like are never patched"
            )
        if transferred or patch.golden is None:
            # Without golden logits to go by, at least one weight has to become another one.
            candidate = self._with(patch)
            state = candidate.state()
            if all(torch.equal(state[name], self._clean.state[name]) for name in candidate.patched):
                raise GoldenError(
                    f"patch {patch.name!r} changes no weight of this model at its recommended "
                    "strength: it does nothing"
                )
        else:
            self._check_golden(patch)
        self._admitted.put(patch.digest, transferred)
        return transferred

    def _with(self, *patches: Patch) -> Variant:
        """The model with patches, each at its recommended strength."""
        wanted = PatchSet.of([(one, one.metadata.alpha.recommended) for one in patches])
        return build_variant(self._clean, wanted, {one.digest: one for one in patches})

    def _check_golden(self, patch: Patch) -> None:
        probe = patch.metadata.golden
        if patch.golden is None or probe is None:
            return
        images = probe_images(probe.seed, probe.count, probe.size)
        try:
            check_golden(patch.golden, self._with(), self._with(patch), images)
        except GoldenError as error:
            raise GoldenError(f"patch {patch.name!r}: {error}") from None
        except (RuntimeError, ValueError) as error:  # torch: not the size that the network takes
            raise GoldenError(
                f"patch {patch.name!r}: this model cannot classify its probe batch of "
                f"{probe.size}x{probe.size} pixels ({error})"
            ) from None
