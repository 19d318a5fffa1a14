"""Composed patches: several patches at fixed strengths, under one name."""

__all__ = ["compose", "scale"]

import math
from collections.abc import Sequence

from rwsstore import __version__
from rwsstore.errors import ConfigError, MismatchError
from rwsstore.patches.metadata import AlphaRange, PatchMetadata
from rwsstore.patches.patch import Patch
from rwsstore.patches.patchset import PatchSet


def compose(name: str, chosen: Sequence[tuple[Patch, float]]) -> Patch:
    """Make a patch that stands for several; it names them by digest and holds no tensors.

    Wherever it is used at strength α it expands to its parts at α times theirs, so it equals
    that patch set to the bit. Parts that are composed themselves are resolved now. It takes the
    strengths at which each part stays within its own range.

    Args:
        name: of the composed patch.
        chosen: (patch, α); an α of 0 leaves its patch out.

    Raises:
        ConfigError: the name is not one, no part is left, one occurs twice, an α is out of its
            patch's range, or there are more than `MAX_PATCHES`.
        MismatchError: the parts belong to different models.
    """
    parts = PatchSet.of(chosen)
    if not parts:
        raise ConfigError(f"composed patch {name!r} has no part with an alpha other than 0")
    first = chosen[0][0].metadata
    for patch, _ in chosen[1:]:
        if _model(patch.metadata) != _model(first):
            raise MismatchError(
                f"patches {first.name!r} and {patch.name!r} were extracted from different clean "
                "models; only patches of one model compose"
            )
    metadata = PatchMetadata.make(
        kind="composed",
        name=name,
        architecture=first.architecture,
        clean_weights=first.clean_weights,
        model=first.model,
        alpha=_range(chosen),
        parts=tuple({"digest": digest, "alpha": alpha} for digest, alpha in parts),
        tool=f"rwsstore {__version__}",
    )
    return Patch.build(metadata, {}, None)


def scale(patch: Patch, alpha: float, *, name: str) -> Patch:
    """Make a patch whose strength 1 is another's strength α; a composed patch of one part.

    Args:
        patch: to be scaled.
        alpha: its strength, not 0.
        name: of the new patch.

    Raises:
        ConfigError: as `compose` does.
    """
    return compose(name, [(patch, alpha)])


def _model(metadata: PatchMetadata) -> tuple[str, str]:
    return metadata.architecture, metadata.clean_weights


def _range(chosen: Sequence[tuple[Patch, float]]) -> AlphaRange:
    """The strengths at which every part stays within its own range."""
    given = [(patch.metadata.alpha, alpha) for patch, alpha in chosen if alpha != 0]
    minimum = max(_at_least(part.minimum, alpha) for part, alpha in given)
    maximum = min(_at_most(part.maximum, alpha) for part, alpha in given)
    return AlphaRange(recommended=1.0, minimum=minimum, maximum=min(maximum, 1e6))


def _at_least(bound: float, alpha: float) -> float:
    quotient = bound / alpha
    return quotient if quotient * alpha >= bound else math.nextafter(quotient, math.inf)


def _at_most(bound: float, alpha: float) -> float:
    quotient = bound / alpha
    return quotient if quotient * alpha <= bound else math.nextafter(quotient, 0.0)
