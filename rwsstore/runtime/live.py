"""A live model in one process: what is on, and patches put on and taken off while it predicts."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from weakref import WeakValueDictionary

from torch import Tensor, nn

from rwsstore.canonical import Digest
from rwsstore.errors import ConfigError, NotAppliedError, NotFoundError
from rwsstore.patches import Patch, PatchSet, Request
from rwsstore.runtime.admission import Admission, PatchBag, PatchSource
from rwsstore.runtime.bounds import UNBOUNDED
from rwsstore.runtime.engine import Engine
from rwsstore.runtime.formats import FLOAT32, ComputeFormat
from rwsstore.runtime.variant import CleanModel, Resident, Variant, build_variant
from rwsstore.runtime.verification import Verification, verify_variant


@dataclass(frozen=True)
class Chosen:
    """One patch of a patch set, as it was asked for.

    Attributes:
        patch: what it was called.
        digest: what was found under that.
        alpha: its strength.
        source: the patch itself, where it is held on to; says nothing that the digest does not.
    """

    patch: str
    digest: Digest
    alpha: float
    source: Patch | None = field(default=None, repr=False, compare=False)


Patches = tuple[Chosen, ...]
"""A patch set as it was asked for, each patch once and none at strength 0."""

Edit = Callable[[Patches], Patches]
"""Takes what is on, gives what is wanted; raises RwsError."""


@dataclass(frozen=True)
class ActiveSet:
    """What is on, as it was asked for, and the model with it; one reference, swapped whole."""

    patches: Patches
    variant: Variant

    @classmethod
    def of(cls, variant: Variant) -> "ActiveSet":
        """A variant of which nothing else is known: its patches by digest."""
        sources = variant.sources
        return cls(
            tuple(Chosen(digest, digest, a, sources[digest]) for digest, a in variant.patches),
            variant,
        )


def put_on(on: Patches, found: Chosen) -> Patches:
    """Want one patch besides what is on; what is on under its name or digest goes."""
    others = (one for one in on if one.digest != found.digest and one.patch != found.patch)
    return without_zeros((*others, found))


def find_on(on: Patches, ref: str, resolve: Callable[[str], Digest]) -> Chosen:
    """Find the patch that is on under a name or digest, or that the name stands for now.

    Args:
        on: what is on.
        ref: name, version or digest.
        resolve: asked last which digest that stands for.

    Raises:
        NotAppliedError: it is not on.
        RwsError: as `resolve`, but for what it does not find.
    """
    for one in on:
        if ref in (one.patch, one.digest):
            return one
    try:
        digest = resolve(ref)
    except NotFoundError:
        digest = ""
    for one in on:
        if one.digest == digest:
            return one
    names = ", ".join(one.patch for one in on) or "none"
    raise NotAppliedError(f"patch {ref!r} is not on; on are: {names}")


def rescale(on: Patches, found: Chosen, alpha: float) -> Patches:
    """Want another strength for a patch that is on, under the name that it has; at 0 it goes."""
    return without_zeros(
        replace(one, alpha=alpha) if one.digest == found.digest else one for one in on
    )


def without_zeros(chosen: Iterable[Chosen]) -> Patches:
    """Leave out what is at strength 0: that is no patch."""
    return tuple(one for one in chosen if one.alpha != 0)


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
        model: the clean model, of which a frozen copy is kept; or such a copy.
        patches: where patches are found by name, version or digest: a store or a `PatchBag`.
        allow_transfer: accept patches that were extracted from other clean weights.
        resident_bytes: most bytes of variants, and of patches in use, that are kept for reuse
            besides the active one.
        compute: of predictions; the weights of patch sets are the same bits in each format.

    Attributes:
        clean: the clean model, frozen.

    Raises:
        TensorError: a weight of the model is NaN or infinite, or not float32.
        ConfigError: the model cannot be computed in the format.
    """

    def __init__(
        self,
        model: nn.Module | CleanModel,
        patches: PatchSource | None = None,
        *,
        allow_transfer: bool = False,
        resident_bytes: int = 256 << 20,
        compute: ComputeFormat = FLOAT32,
    ) -> None:
        if resident_bytes < 0:
            raise ConfigError(f"resident_bytes is {resident_bytes}; expected 0 or more")
        self.clean = model if isinstance(model, CleanModel) else CleanModel.of(model)
        self._engine = Engine(self.clean, compute)
        self._source: PatchSource = patches if patches is not None else PatchBag()
        self._admission = Admission(self.clean, allow_transfer=allow_transfer)
        self._lock = threading.RLock()  # of what is on
        self._resident = Resident(resident_bytes)
        self._clean_variant = build_variant(self.clean, PatchSet(), {})
        self._finding = threading.Lock()  # of what is at hand; never held while anything is built
        # A patch lives as long as a variant, or what is on, uses it. No variant holds composed
        # ones, which are small: the last of them are kept.
        self._at_hand: WeakValueDictionary[Digest, Patch] = WeakValueDictionary()
        self._composed: deque[Patch] = deque(maxlen=_COMPOSED)
        self._on = ActiveSet((), self._clean_variant)
        self._block: ContextVar[Variant | None] = ContextVar("rwsstore_variant", default=None)

    @property
    def active(self) -> Variant:
        """The variant that is active for everybody who asks for nothing else."""
        return self._on.variant

    @property
    def on(self) -> ActiveSet:
        """The active variant, and what was asked for."""
        return self._on

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
        return self._block.get() or self._on.variant

    def __call__(self, images: Tensor) -> Tensor:
        """Predict: images [B, 3, H, W] to logits [B, C], in inference mode."""
        return self._engine.predict(images, [self.current] * len(images))

    def predict_mixed(self, images: Tensor, variants: Sequence[Variant]) -> Tensor:
        """Predict, each image with a variant of its own: a head for each, one trunk for all.

        Args:
            images: uint8 or floats in [0, 1]; [B, 3, H, W].
            variants: B of them, as `variant` or `active` gives them; they may repeat.

        Returns:
            Logits, float32 [B, C]. One variant for all gives its bits; several give what each alone
            gives, but for the rounding of another batch.

        Raises:
            ConfigError: there are not as many variants as images, or no image; or the model cannot
                be computed in the format.
        """
        return self._engine.predict(images, variants)

    def prepare(self, variant: Variant) -> None:
        """Put a variant into the compute format now, so that its first prediction need not.

        A server that builds variants in one thread and predicts in others calls it in the first.
        """
        self._engine.prepare(variant)

    def bounded(self, variant: Variant) -> bool:
        """Whether it is certain that no number of a forward pass overflows, whatever the image.

        The weights tell it (docs/understand/runtime.md), with one step of a few additions for each
        layer. False says nothing: try some images.
        """
        return self._engine.bound(variant) != UNBOUNDED

    @contextmanager
    def patched(self, wanted: Request) -> Iterator[Variant]:
        """Predict with another patch set inside a block, in this thread or task alone."""
        token = self._block.set(self.variant(wanted))
        try:
            yield self.current
        finally:
            self._block.reset(token)

    def variant(self, wanted: Request) -> Variant:
        """Build, or find again, the variant of a patch set; the active one stays as it is.

        Args:
            wanted: patch name, version or digest → α (None: the recommended one).

        Raises:
            UnknownPatchError: the source has no such patch.
            ConfigError: an α is out of its patch's range, or a patch occurs twice.
            MismatchError: a patch belongs on another model.
            GoldenError: a patch does not do on this model what it recorded.
            TensorError: the patched weights are not finite.
        """
        return self._variant_of([self._find(ref, alpha) for ref, alpha in wanted.items()])

    def set_patches(self, wanted: Request) -> Variant:
        """Make a patch set the active one; on any error, as in `variant`, the old one stays."""
        return self._change(lambda _on: self._choose(wanted))

    def activate(self, wanted: Variant | ActiveSet) -> None:
        """Make a variant that `variant` gave the active one, alone or with what was asked for.

        Nothing is built or looked up, so that this cannot fail: prepare a change, write it down,
        then activate it.
        """
        with self._lock:
            self._on = wanted if isinstance(wanted, ActiveSet) else ActiveSet.of(wanted)

    def apply(self, patch: str, alpha: float | None = None) -> Variant:
        """Put one patch on, or change its α; the others stay. It raises what `variant` does."""
        return self._change(lambda on: put_on(on, *self._choose({patch: alpha})))

    def remove(self, patch: str) -> Variant:
        """Take one patch off; the others stay. A NotAppliedError is raised where it is not on."""
        return self._change(lambda on: rescale(on, find_on(on, patch, self._source.resolve), 0))

    def clear(self) -> Variant:
        """Take every patch off."""
        return self.set_patches({})

    def verify(self, variant: Variant | None = None) -> Verification:
        """Compare the tensors in memory of a variant, or the active one, with a fresh build."""
        return verify_variant(self.clean, variant or self.active, self._engine.conversion)

    def _change(self, edit: Edit) -> Variant:
        with self._lock:
            wanted = edit(self._on.patches)
            given = [(one.source or self._patch(one.digest), one.alpha) for one in wanted]
            variant = self._variant_of(given)
            self._on = ActiveSet(without_zeros(wanted), variant)
        return variant

    def _choose(self, wanted: Request) -> tuple[Chosen, ...]:
        # Zeros are still in it, so that a patch that is named twice is refused.
        chosen = []
        for ref, given in wanted.items():
            patch, alpha = self._find(ref, given)
            strength = patch.metadata.alpha.check(alpha, patch.name)
            chosen.append(Chosen(ref, patch.digest, strength, patch))
        return tuple(chosen)

    def _find(self, ref: str, alpha: float | None) -> tuple[Patch, float]:
        patch = self._at_hand.get(ref) or self._patch(self._source.resolve(ref))
        return patch, patch.metadata.alpha.recommended if alpha is None else alpha

    def _patch(self, digest: Digest) -> Patch:
        """Find a patch; one at hand is not read again, for a digest is always one patch."""
        known = self._at_hand.get(digest)
        if known is not None:
            return known
        patch = self._source.get(digest)
        with self._finding:
            patch = self._at_hand.setdefault(digest, patch)
            if patch.parts:
                self._composed.append(patch)
        return patch

    def _variant_of(self, given: Sequence[tuple[Patch, float]]) -> Variant:
        patches = PatchSet.of(given)
        if not patches:
            return self._clean_variant
        active = self.active
        if patches == active.patches:
            return active
        named = {patch.digest: patch for patch, _ in given}
        return self._resident.find(patches, lambda: self._build(patches, named))

    def _build(self, patches: PatchSet, named: Mapping[Digest, Patch]) -> Variant:
        parts, transferred = {}, []
        for digest, alpha in patches:
            part = named.get(digest) or self._patch(digest)
            part.metadata.alpha.check(alpha, part.name)
            if self._admission.admit(part):
                transferred.append(digest)
            parts[digest] = part
        return build_variant(self.clean, patches, parts, tuple(transferred))
