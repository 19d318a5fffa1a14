"""A live model in one process: patches put on and taken off while it predicts."""

__all__ = ["LiveModel"]

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from weakref import WeakValueDictionary

from torch import Tensor, nn

from rwsstore.canonical import Digest
from rwsstore.errors import ConfigError, NotFoundError, UnknownPatchError
from rwsstore.patches import Patch, PatchSet, Request
from rwsstore.runtime.admission import Admission, PatchBag, PatchSource
from rwsstore.runtime.bounds import UNBOUNDED
from rwsstore.runtime.engine import Engine
from rwsstore.runtime.formats import FLOAT32, ComputeFormat
from rwsstore.runtime.variant import CleanModel, Resident, Variant, build_variant
from rwsstore.runtime.verification import Verification, verify_variant

_Chosen = tuple[Patch, float]

_COMPOSED = 256
"""How many composed patches are kept at hand; they hold no tensors."""


class LiveModel:
    """A clean model, its patches, and the patch set that is active.

    Calling it predicts with the active patch set, or with that of the `patched` block around the
    call. Every method is safe to call from any thread: a prediction runs on one immutable variant
    from beginning to end, and the active one is a single reference, swapped whole.

    A name is looked up when a patch is put on. The patch that it found then stays on until it is
    taken off, whatever becomes of the name.

    Args:
        model: the clean model; a frozen copy of it is kept.
        patches: where patches are found by name, version or digest: a store or a `PatchBag`.
        allow_transfer: accept patches that were extracted from other clean weights.
        resident_bytes: most bytes of variants, and of patches in use, that are kept for reuse
            besides the active one; 256 MiB.
        compute: the compute format of predictions; the weights of patch sets are the same bits in
            each.

    Raises:
        TensorError: a weight of the model is NaN or infinite, or not float32.
        ConfigError: the model cannot be computed in the format.
    """

    def __init__(
        self,
        model: nn.Module,
        patches: PatchSource | None = None,
        *,
        allow_transfer: bool = False,
        resident_bytes: int = 256 << 20,
        compute: ComputeFormat = FLOAT32,
    ) -> None:
        if resident_bytes < 0:
            raise ConfigError(f"resident_bytes is {resident_bytes}; expected 0 or more")
        self._clean = CleanModel.of(model)
        self._engine = Engine(self._clean, compute)
        self._source: PatchSource = patches if patches is not None else PatchBag()
        self._admission = Admission(self._clean, allow_transfer=allow_transfer)
        self._lock = threading.RLock()  # of what is on
        self._resident = Resident(resident_bytes)
        self._clean_variant = build_variant(self._clean, PatchSet(), {})
        self._finding = threading.Lock()  # of what is at hand; never held while anything is built
        # A patch lives as long as a variant that uses it, and no longer.
        self._used: WeakValueDictionary[Digest, Patch] = WeakValueDictionary()
        self._composed: OrderedDict[Digest, Patch] = OrderedDict()
        self._on: Mapping[str, _Chosen] = {}  # by what the caller called each
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
    def compute(self) -> ComputeFormat:
        """The compute format of predictions."""
        return self._engine.compute

    @property
    def resident(self) -> int:
        """How many variants are kept for reuse."""
        return len(self._resident)

    @property
    def resident_bytes(self) -> int:
        """Bytes of those variants, and of the patches that they refer to."""
        return self._resident.nbytes

    @property
    def current(self) -> Variant:
        """The variant that a call predicts with here and now."""
        return self._block.get() or self._active

    def __call__(self, images: Tensor) -> Tensor:
        """Predict: images [B, 3, H, W] to logits [B, C], in inference mode."""
        return self._engine.predict(images, [self.current] * len(images))

    def predict_mixed(self, images: Tensor, variants: Sequence[Variant]) -> Tensor:
        """Predict, each image with a variant of its own: a head for each, one trunk for all.

        Args:
            images: uint8 or floats in [0, 1]; [B, 3, H, W].
            variants: B of them, as `variant` or `active` gives them; they may repeat.

        Returns:
            Logits [B, C]. One variant for all gives its bits; several give what each alone gives,
            but for the rounding of another batch.

        Raises:
            ConfigError: there are not as many variants as images, or no image.
        """
        return self._engine.predict(images, variants)

    def prepare(self, variant: Variant) -> None:
        """Put a variant into the compute format now, so that its first prediction need not.

        A server that builds variants in one thread and predicts in others calls it in the first.
        """
        self._engine.prepare(variant)

    def bounded(self, variant: Variant) -> bool:
        """Whether it is certain that no number of a forward pass overflows, whatever the image.

        The weights tell it (docs/runtime.md), with one step of a few additions for each layer.
        False says nothing: try some images.

        Args:
            variant: of this model.
        """
        return self._engine.bound(variant) != UNBOUNDED

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
        return self._variant_of(self._choose(wanted).values())

    def set_patches(self, wanted: Request) -> Variant:
        """Make a patch set the active one; on any error the old one stays.

        Raises:
            RwsError: as `variant` does.
        """
        with self._lock:
            return self._activate(self._choose(wanted))

    def activate(self, variant: Variant) -> None:
        """Make a variant that `variant` gave the active one.

        Nothing is built or looked up, so that this cannot fail: prepare a change, write it down,
        then activate it.
        """
        with self._lock:
            self._on = {
                digest: (variant.sources[digest], alpha) for digest, alpha in variant.patches
            }
            self._active = variant

    def apply(self, patch: str, alpha: float | None = None) -> Variant:
        """Put one patch on, or change its α; the others stay.

        Raises:
            RwsError: as `variant` does.
        """
        with self._lock:
            chosen = self._choose({patch: alpha})
            return self._activate({**self._without(patch, chosen[patch][0].digest), **chosen})

    def remove(self, patch: str) -> Variant:
        """Take one patch off; the others stay.

        Raises:
            UnknownPatchError: it is not on.
        """
        with self._lock:
            others = self._without(patch, patch)
            if len(others) == len(self._on):  # called otherwise now than when it was put on
                others = self._without(patch, self._digest_of(patch))
            if len(others) == len(self._on):
                raise UnknownPatchError(
                    f"patch {patch!r} is not on; on are: {', '.join(self._on) or 'none'}"
                )
            return self._activate(others)

    def clear(self) -> Variant:
        """Take every patch off."""
        return self.set_patches({})

    def verify(self, variant: Variant | None = None) -> Verification:
        """Compare the tensors in memory with a fresh build, to the bit.

        Args:
            variant: what to verify; the active one if None.
        """
        return verify_variant(self._clean, variant or self._active, self._engine.conversion)

    def _digest_of(self, ref: str) -> Digest | None:
        try:
            return self._source.resolve(ref)
        except NotFoundError:
            return None

    def _without(self, ref: str, digest: Digest | None) -> dict[str, _Chosen]:
        """What is on, but for what was called `ref` or has this digest."""
        return {
            name: chosen
            for name, chosen in self._on.items()
            if name != ref and chosen[0].digest != digest
        }

    def _known(self, digest: str) -> Patch | None:
        return self._used.get(digest) or self._composed.get(digest)

    def _patch(self, digest: Digest) -> Patch:
        """Find a patch; one at hand is not read again, for a digest is always one patch."""
        with self._finding:
            known = self._known(digest)
        if known is not None:
            return known
        patch = self._source.get(digest)
        if patch.parts:
            with self._finding:
                self._composed[digest] = patch
                if len(self._composed) > _COMPOSED:
                    self._composed.popitem(last=False)
        return patch

    def _choose(self, wanted: Request) -> dict[str, _Chosen]:
        chosen = {}
        for ref, alpha in wanted.items():
            patch = self._known(ref) or self._patch(self._source.resolve(ref))
            chosen[ref] = patch, patch.metadata.alpha.recommended if alpha is None else alpha
        return chosen

    def _activate(self, chosen: Mapping[str, _Chosen]) -> Variant:
        variant = self._variant_of(chosen.values())
        self._on, self._active = chosen, variant
        return variant

    def _variant_of(self, chosen: Iterable[_Chosen]) -> Variant:
        chosen = list(chosen)
        patches = PatchSet.of(chosen)
        if not patches:
            return self._clean_variant
        active = self._active
        if patches == active.patches:
            return active
        named = {patch.digest: patch for patch, _ in chosen}
        return self._resident.find(patches, lambda: self._build(patches, named))

    def _build(self, patches: PatchSet, named: Mapping[Digest, Patch]) -> Variant:
        parts, transferred = {}, []
        for digest, alpha in patches:
            part = named.get(digest) or self._patch(digest)
            part.metadata.alpha.check(alpha, part.name)
            if self._admission.admit(part):
                transferred.append(digest)
            parts[digest] = part
        variant = build_variant(self._clean, patches, parts, tuple(transferred))
        with self._finding:
            self._used.update(parts)
        return variant
