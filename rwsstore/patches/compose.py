"""Composed patches: several patches at fixed strengths, under one name."""

__all__ = ["compose"]

from collections.abc import Sequence

from rwsstore import __version__
from rwsstore.errors import ConfigError, MismatchError
from rwsstore.patches.metadata import AlphaRange, Part, PatchMetadata
from rwsstore.patches.patch import Patch
from rwsstore.patches.patchset import PatchSet


def compose(name: str, chosen: Sequence[tuple[Patch, float]]) -> Patch:
    """Make a patch that stands for several; it names them by digest and holds no tensors.

    Wherever it is used at strength α it expands to its parts at α times theirs, so it equals
    that patch set to the bit. Parts that are composed themselves are resolved now.

    Raises:
        ConfigError: no part is left, one occurs twice, or an α is out of its range.
        MismatchError: the parts belong to different models.
    """
    patches = [patch for patch, _ in chosen]
    parts = PatchSet.of(list(chosen))
    if not parts:
        raise ConfigError(f"composed patch {name!r} has no part with an alpha other than 0")
    first = patches[0].metadata
    for patch in patches[1:]:
        if patch.metadata.clean_weights != first.clean_weights:
            raise MismatchError(
                f"patches {first.name!r} and {patch.name!r} were extracted from different clean "
                "models; only patches of one model compose"
            )
    metadata = PatchMetadata(
        kind="composed",
        name=name,
        architecture=first.architecture,
        clean_weights=first.clean_weights,
        model=first.model,
        alpha=AlphaRange(),
        parts=tuple(Part(digest=digest, alpha=alpha) for digest, alpha in parts),
        tool=f"rwsstore {__version__}",
    )
    return Patch.build(metadata, {}, None)
