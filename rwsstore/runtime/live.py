"""A live model in one process: patches put on and taken off while it predicts."""

__all__ = ["LiveModel"]

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor, nn

from rwsstore.canonical import Digest
from rwsstore.errors import ConfigError, UnknownPatchError
from rwsstore.patches import Patch, PatchSet, Request, check_fit, check_golden, probe_images
from rwsstore.runtime.source import PatchBag, PatchSource
from rwsstore.runtime.variant import CleanModel, Variant, build_variant
from rwsstore.runtime.verification import Verification, verify_variant


class LiveModel:
    """A clean model, its patches, and the patch set that is active.

    Calling it predicts with the active patch set, or with that of the `patched` block around the
    call. Every method is safe to call from any thread: a prediction runs on one immutable variant
    from beginning to end, and the active one is a single reference, swapped whole.

    Args:
        model: the clean model; a frozen copy of it is kept.
        patches: where patches are found by name, version or digest: a store or a `PatchBag`.
        allow_transfer: accept patches that were extracted from other clean weights.
        resident: how many variants are kept for reuse besides the active one.

    Raises:
        TensorError: a weight of the model is NaN or infinite, or not float32.
    """

    def __init__(
        self,
        model: nn.Module,
        patches: PatchSource | None = None,
        *,
        allow_transfer: bool = False,
        resident: int = 16,
    ) -> None:
        if resident < 1:
            raise ConfigError(f"resident is {resident}; expected 1 or more")
        self._clean = CleanModel.of(model)
        self._source: PatchSource = patches if patches is not None else PatchBag()
        self._allow_transfer = allow_transfer
        self._resident = resident
        self._lock = threading.RLock()
        self._known: dict[Digest, Patch] = {}
        self._transferred: set[Digest] = set()
        self._variants: OrderedDict[PatchSet, Variant] = OrderedDict()
        self._clean_variant = build_variant(self._clean, PatchSet(), {})
        self._wanted: dict[str, float | None] = {}
        self._active = self._clean_variant
        self._block: ContextVar[Variant | None] = ContextVar("rwsstore_variant", default=None)

    @property
    def clean(self) -> CleanModel:
        """The clean model, frozen."""
        return self._clean

    @property
    def active(self) -> Variant:
        """The variant that is active for everybody who asks for nothing else."""
        return self._active

    @property
    def current(self) -> Variant:
        """The variant that a call predicts with here and now."""
        return self._block.get() or self._active

    def __call__(self, images: Tensor) -> Tensor:
        """Predict: images [B, 3, H, W] to logits [B, C], in inference mode."""
        return self.current(images)

    @contextmanager
    def patched(self, wanted: Request) -> Iterator[Variant]:
        """Predict with another patch set inside a block, in this thread or task alone.

        Args:
            wanted: patch name, version or digest → α (None: the recommended one).

        Raises:
            RwsError: as `variant` does; the block is not entered.
        """
        token = self._block.set(self.variant(wanted))
        try:
            yield self.current
        finally:
            self._block.reset(token)

    def variant(self, wanted: Request) -> Variant:
        """Build, or find again, the variant of a patch set; the active one stays as it is.

        Raises:
            UnknownPatchError: the source has no such patch.
            ConfigError: an α is out of its patch's range, or a patch occurs twice.
            MismatchError: a patch belongs on another model.
            GoldenError: a patch does not do on this model what it recorded.
            TensorError: the patched weights are not finite.
        """
        with self._lock:
            patches = self._resolve(wanted)
            if not patches:
                return self._clean_variant
            if patches in self._variants:
                self._variants.move_to_end(patches)
                return self._variants[patches]
            variant = self._build(patches)
            self._variants[patches] = variant
            while len(self._variants) > self._resident:
                self._variants.popitem(last=False)
            return variant

    def set_patches(self, wanted: Request) -> Variant:
        """Make a patch set the active one; on any error the old one stays.

        Raises:
            RwsError: as `variant` does.
        """
        with self._lock:
            variant = self.variant(wanted)
            self._wanted, self._active = dict(wanted), variant
            return variant

    def apply(self, patch: str, alpha: float | None = None) -> Variant:
        """Put one patch on, or change its α; the others stay.

        Raises:
            RwsError: as `variant` does.
        """
        with self._lock:
            return self.set_patches({**self._others(patch), patch: alpha})

    def remove(self, patch: str) -> Variant:
        """Take one patch off; the others stay.

        Raises:
            UnknownPatchError: it is not on.
        """
        with self._lock:
            others = self._others(patch)
            if len(others) == len(self._wanted):
                raise UnknownPatchError(
                    f"patch {patch!r} is not on; on are: {', '.join(self._wanted) or 'none'}"
                )
            return self.set_patches(others)

    def clear(self) -> Variant:
        """Take every patch off."""
        return self.set_patches({})

    def verify(self, variant: Variant | None = None) -> Verification:
        """Compare the tensors in memory with a fresh build, to the bit.

        Args:
            variant: what to verify; the active one if None.
        """
        return verify_variant(self._clean, variant or self._active, self._known)

    def _others(self, patch: str) -> dict[str, float | None]:
        digest = self._digest_of(patch)
        return {
            name: alpha
            for name, alpha in self._wanted.items()
            if name != patch and (digest is None or self._digest_of(name) != digest)
        }

    def _digest_of(self, ref: str) -> Digest | None:
        try:
            return self._source.get(ref).digest
        except UnknownPatchError:
            return None

    def _resolve(self, wanted: Request) -> PatchSet:
        chosen = []
        for ref, alpha in wanted.items():
            patch = self._source.get(ref)
            strength = patch.metadata.alpha.recommended if alpha is None else alpha
            chosen.append((patch, strength))
        patches = PatchSet.of(chosen)
        direct = {patch.digest: patch for patch, _ in chosen}
        for digest, alpha in patches:
            part = direct.get(digest) or self._known.get(digest) or self._source.get(digest)
            part.metadata.alpha.check(alpha, part.name)
            self._admit(part)
        return patches

    def _admit(self, patch: Patch) -> None:
        """Check, once a patch, that it fits and does what it recorded."""
        if patch.digest in self._known:
            return
        transferred = check_fit(patch, self._clean.identity, allow_transfer=self._allow_transfer)
        if not transferred:
            self._check_golden(patch)
        else:
            self._transferred.add(patch.digest)
        self._known[patch.digest] = patch

    def _check_golden(self, patch: Patch) -> None:
        probe = patch.metadata.golden
        if patch.golden is None or probe is None:
            return
        alone = PatchSet(((patch.digest, patch.metadata.alpha.recommended),))
        candidate = build_variant(self._clean, alone, {patch.digest: patch})
        images = probe_images(probe.seed, probe.count, probe.size)
        check_golden(patch.golden, self._clean_variant, candidate, images)

    def _build(self, patches: PatchSet) -> Variant:
        transferred = tuple(digest for digest, _ in patches if digest in self._transferred)
        return build_variant(self._clean, patches, self._known, transferred)
