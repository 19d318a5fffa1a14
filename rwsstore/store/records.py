"""What the store answers with."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rwsstore.canonical import Digest

if TYPE_CHECKING:  # a listing's options are known without torch
    from rwsstore.patches import Patch, PatchMetadata, Reach

LayerName = Literal["user", "bundled"]

Sort = Literal["name", "touched", "payload"]
"""By what a listing is ordered; the two sizes rise, and what is equal stands by name."""

Problem = Literal[
    "damaged object", "damaged ref", "missing object", "missing part", "stray file", "temporary"
]


@dataclass(frozen=True)
class Published:
    """Where a published patch is to be found; not `created` where it was the latest already."""

    digest: Digest
    name: str
    version: int
    created: bool


@dataclass(frozen=True)
class Version:
    """One version of a name."""

    name: str
    version: int
    digest: Digest
    layer: LayerName


@dataclass(frozen=True)
class Contents:
    """What a digest says of its patch, for ever; the payload is its codes, scales and deltas."""

    metadata: "PatchMetadata"
    payload_bytes: int
    file_bytes: int


@dataclass(frozen=True)
class Description:
    """What the index knows of an object, in the order of its columns.

    Attributes:
        severity: of the corruption that it is for, 1 to 5.
        budget: ε of the attack that it is for.
        bits: of its quantized tensors; None for a composed patch.
        architecture: fingerprint of the model's tensor names, shapes and dtypes.
        clean_weights: weights fingerprint of the clean model that it was extracted from.
        payload_bytes: bytes of its codes, scales and float32 deltas.
        touched_bytes: bytes of the model's tensors that it touches; None where a part of a
            composed patch is missing or damaged.
        deepest: the deepest layer that it touches; None for a composed patch.
        alpha: recommended strength.
    """

    digest: Digest
    kind: str
    corruption: str | None
    severity: int | None
    attack: str | None
    budget: float | None
    bits: int | None
    architecture: Digest
    clean_weights: Digest
    file_bytes: int
    payload_bytes: int
    touched_bytes: int | None
    model_bytes: int
    deepest: str | None
    alpha: float

    @classmethod
    def of(cls, patch: "Patch", reach: "Reach", *, whole: bool = True) -> "Description":
        """Describe a patch; `whole` says whether its reach is known of all its parts."""
        metadata = patch.metadata
        return cls(
            digest=patch.digest,
            kind=metadata.kind,
            corruption=metadata.corruption,
            severity=metadata.severity,
            attack=metadata.attack,
            budget=metadata.budget,
            bits=metadata.bits,
            architecture=metadata.architecture,
            clean_weights=metadata.clean_weights,
            file_bytes=patch.file_bytes,
            payload_bytes=patch.payload_bytes,
            touched_bytes=reach.touched_bytes if whole else None,
            model_bytes=reach.model_bytes,
            deepest=metadata.layers[-1] if metadata.layers else None,
            alpha=metadata.alpha.recommended,
        )


@dataclass(frozen=True)
class Entry(Description):
    """One line of a listing: a name's version, and what the index knows of it.

    Versions count from 1; the layer is "bundled" for the read-only one underneath, else "user".
    """

    name: str
    version: int
    layer: LayerName


def in_order(entries: Iterable[Entry], sort: Sort) -> tuple[Entry, ...]:
    """Put entries in order; those of unknown size stand last."""

    def size(entry: Entry) -> float:
        known = {"name": 0, "touched": entry.touched_bytes, "payload": entry.payload_bytes}[sort]
        return math.inf if known is None else known

    return tuple(sorted(entries, key=lambda entry: (size(entry), entry.name, entry.version)))


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    The subject is a digest, name or file; what is repaired was moved to quarantine or removed.
    """

    problem: Problem
    subject: str
    detail: str
    layer: LayerName
    repaired: bool = False


@dataclass(frozen=True)
class FsckReport:
    """What a full check found.

    It counts the objects and names that were read. That no name reaches the unreferenced objects is
    nothing wrong: `gc` would remove them.
    """

    objects: int
    refs: int
    findings: tuple[Finding, ...]
    unreferenced: tuple[Digest, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong any more."""
        return all(finding.repaired for finding in self.findings)


@dataclass(frozen=True)
class GcReport:
    """The objects removed, or that would have been, and how many files of interrupted writes.

    The freed bytes are those of both; `kept` counts the objects that stay.
    """

    removed: tuple[Digest, ...]
    freed_bytes: int
    temporaries: int
    kept: int
    dry_run: bool
