"""What the library says of patches, and what it is asked for."""

__all__ = ["Contents", "Described", "Listing"]

from dataclasses import dataclass
from typing import Literal

from rwsstore.canonical import Digest
from rwsstore.patches import PatchMetadata
from rwsstore.store import Sort


@dataclass(frozen=True)
class Contents:
    """What a digest says of its patch, for ever.

    Attributes:
        metadata: its description.
        payload_bytes: of its codes, scales and deltas.
        file_bytes: of its file.
    """

    metadata: PatchMetadata
    payload_bytes: int
    file_bytes: int


@dataclass(frozen=True)
class Described:
    """One patch of the store.

    Attributes:
        name: the name that reaches it, or its own.
        version: under that name; None where no name reaches it.
        digest: of its file.
        layer: where it lies.
        fits: whether it was extracted from the served clean model.
        contents: what it is.
        parts: (name, digest, α) of a composed patch.
        touched_bytes: of the model's tensors, that it touches; None where a part of a composed
            patch is missing or damaged.
    """

    name: str
    version: int | None
    digest: Digest
    layer: Literal["user", "bundled"]
    fits: bool
    contents: Contents
    parts: tuple[tuple[str, Digest, float], ...]
    touched_bytes: int | None


@dataclass(frozen=True)
class Listing:
    """What to list.

    Attributes:
        kind: of patches.
        corruption: that they are for.
        bits: of their tensors.
        fits: whether made for the served model; None for all.
        all_versions: older ones too.
        sort: by what they are ordered.
    """

    kind: str | None = None
    corruption: str | None = None
    bits: int | None = None
    fits: bool | None = None
    all_versions: bool = False
    sort: Sort = "name"
