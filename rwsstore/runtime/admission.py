"""Where a live model gets patches from, which of them may be put on, and what it keeps of them."""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from typing import Protocol

import torch

from rwsstore.cache import LruCache
from rwsstore.canonical import Digest
from rwsstore.errors import GoldenError, MismatchError, UnknownPatchError
from rwsstore.patches import Patch, PatchSet, check_fit, check_golden, probe_images
from rwsstore.runtime.variant import CleanModel, Variant, build_variant


class PatchSource(Protocol):
    """Anything that finds a patch by name, version or digest: a store, or a `PatchBag`."""

    def resolve(self, ref: str) -> Digest:
        """Find the digest of a patch; asked whenever one that is not at hand is named.

        Raises:
            UnknownPatchError: there is none.
        """

    def get(self, ref: str) -> Patch:
        """Return the patch; asked where it is not at hand.

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


_REMEMBERED = 10_000
"""How many digests are remembered as admitted; an older one would be checked once more."""


class Admission:
    """Finds out which patches belong on a clean model, and remembers it by their digests.

    Safe to use from any thread; a patch that several put on at once may be checked by each.

    Args:
        clean: the model.
        allow_transfer: accept patches that were extracted from other clean weights.
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
            self._check_effect(patch)
        else:
            self._check_golden(patch)
        self._admitted.put(patch.digest, transferred)
        return transferred

    def _check_effect(self, patch: Patch) -> None:
        """Without golden logits to go by: at least one weight has to become another one."""
        candidate = self._alone(patch)
        state = candidate.state()
        if all(torch.equal(state[name], self._clean.state[name]) for name in candidate.patched):
            raise GoldenError(
                f"patch {patch.name!r} changes no weight of this model at its recommended "
                "strength: it does nothing"
            )

    def _alone(self, patch: Patch) -> Variant:
        alone = PatchSet(((patch.digest, patch.metadata.alpha.recommended),))
        return build_variant(self._clean, alone, {patch.digest: patch})

    def _check_golden(self, patch: Patch) -> None:
        probe = patch.metadata.golden
        if patch.golden is None or probe is None:
            return
        clean = build_variant(self._clean, PatchSet(), {})
        candidate = self._alone(patch)
        images = probe_images(probe.seed, probe.count, probe.size)
        try:
            check_golden(patch.golden, clean, candidate, images)
        except GoldenError as error:
            raise GoldenError(f"patch {patch.name!r}: {error}") from None
        except (RuntimeError, ValueError) as error:  # torch: not the size that the network takes
            raise GoldenError(
                f"patch {patch.name!r}: this model cannot classify its probe batch of "
                f"{probe.size}x{probe.size} pixels ({error})"
            ) from None


_Key = tuple[tuple[Digest, float], ...]


class _Build:
    """A build under way; who waits for it takes its lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._variant: Variant | None = None
        self._error: BaseException | None = None

    def end(self, variant: Variant | None, error: BaseException | None = None) -> None:
        self._variant, self._error = variant, error
        self._lock.release()

    def result(self) -> Variant:
        with self._lock:
            if self._variant is None:
                assert self._error is not None  # noqa: S101  (it ended with one of the two)
                raise self._error
            return self._variant


class Resident:
    """The variants used last; safe to use from any thread.

    Counted are the tensors that each variant holds for itself, and once each patch that any of
    them refers to: its file's bytes and its codes.

    Args:
        limit: most bytes; the variant used last stays even if it alone is larger.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._variants: OrderedDict[_Key, Variant] = OrderedDict()
        self._patches: Counter[Digest] = Counter()
        self._building: dict[_Key, _Build] = {}
        self._nbytes = 0

    def __len__(self) -> int:
        return len(self._variants)

    @property
    def nbytes(self) -> int:
        """Bytes that are counted now."""
        return self._nbytes

    def find(self, patches: PatchSet, build: Callable[[], Variant]) -> Variant:
        """Find a variant, or build it; whoever asks for it meanwhile waits for this one.

        Args:
            patches: its patch set.
            build: called without any lock held.

        Raises:
            Exception: whatever `build` raised; the next one who asks tries again.
        """
        key = patches.items
        with self._lock:
            found = self._variants.get(key)
            if found is not None:
                self._variants.move_to_end(key)
                return found
            others = self._building.get(key)
            if others is None:
                mine = self._building[key] = _Build()
        if others is not None:
            return others.result()
        try:
            variant = build()
        except BaseException as error:
            with self._lock:
                del self._building[key]
            mine.end(None, error)
            raise
        with self._lock:
            del self._building[key]
            self._keep(key, variant)
        mine.end(variant)
        return variant

    def _keep(self, key: _Key, variant: Variant) -> None:
        self._variants[key] = variant
        self._nbytes += variant.nbytes
        for digest, patch in variant.sources.items():
            self._patches[digest] += 1
            if self._patches[digest] == 1:
                self._nbytes += patch.memory_bytes
        while self._nbytes > self._limit and len(self._variants) > 1:
            self._drop(self._variants.popitem(last=False)[1])

    def _drop(self, variant: Variant) -> None:
        self._nbytes -= variant.nbytes
        for digest, patch in variant.sources.items():
            self._patches[digest] -= 1
            if not self._patches[digest]:
                del self._patches[digest]
                self._nbytes -= patch.memory_bytes
