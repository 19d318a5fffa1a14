"""What is on, as it was asked for, and changes to it: from what is on to what is wanted."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from rwsstore.canonical import Digest
from rwsstore.errors import NotAppliedError, NotFoundError
from rwsstore.patches import Patch
from rwsstore.runtime.variant import Variant


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
    """What is on; one reference, swapped whole.

    Attributes:
        patches: as it was asked for.
        variant: the model with it.
    """

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
        ref: what the patch is called.
        resolve: finds the digest that a reference stands for; asked last.

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
