"""Which patches may be put on a model: each is checked once, before anything is built with it."""

__all__ = ["Admission"]

from rwsstore.canonical import Digest
from rwsstore.errors import GoldenError, MismatchError
from rwsstore.patches import Patch, PatchSet, check_fit, check_golden, probe_images
from rwsstore.runtime.variant import CleanModel, build_variant


class Admission:
    """The patches that were found to belong on a clean model.

    Args:
        clean: the model.
        allow_transfer: accept patches that were extracted from other clean weights.

    Attributes:
        patches: those admitted, by digest.
        transferred: digests of those among them that come from other clean weights.
    """

    def __init__(self, clean: CleanModel, *, allow_transfer: bool) -> None:
        self.patches: dict[Digest, Patch] = {}
        self.transferred: set[Digest] = set()
        self._clean, self._allow_transfer = clean, allow_transfer
        self._parameters = {
            name for name, _ in clean.module.named_parameters(remove_duplicate=False)
        }

    def admit(self, patch: Patch) -> None:
        """Check that a patch fits the model and does what it recorded; admitted ones pass.

        Raises:
            MismatchError: it belongs on another model, patches a tensor that is no weight, or is
                composed.
            GoldenError: it does not do on this model what it recorded.
            TensorError: the patched weights are not finite.
        """
        if patch.digest in self.patches:
            return
        if patch.parts:
            raise MismatchError(
                f"patch {patch.name!r} is composed and cannot be a part of another one: name its "
                "parts instead"
            )
        transferred = check_fit(patch, self._clean.identity, allow_transfer=self._allow_transfer)
        self._check_tensors(patch)
        if transferred:
            self.transferred.add(patch.digest)
        else:
            self._check_golden(patch)
        self.patches[patch.digest] = patch

    def _check_tensors(self, patch: Patch) -> None:
        others = sorted(set(patch.tensors) - self._parameters)
        if others:
            raise MismatchError(
                f"patch {patch.name!r} changes {others[0]!r}, which is no weight of the model but "
                "a buffer; running statistics and the like are never patched"
            )

    def _check_golden(self, patch: Patch) -> None:
        probe = patch.metadata.golden
        if patch.golden is None or probe is None:
            return
        alone = PatchSet(((patch.digest, patch.metadata.alpha.recommended),))
        clean = build_variant(self._clean, PatchSet(), {})
        candidate = build_variant(self._clean, alone, {patch.digest: patch})
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
