"""Patches as vectors: what each of them adds to the clean weights."""

__all__ = [
    "OTHER",
    "Signature",
    "find_signatures",
    "gather_signatures",
    "group_of",
    "layer_vectors",
]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rwsstore.canonical import Digest
from rwsstore.corruptions import CORRUPTIONS
from rwsstore.errors import ConfigError, UnknownPatchError
from rwsstore.patches import ModelIdentity, Patch, PatchSet, check_fit, identify
from rwsstore.runtime import PatchBag, PatchSource
from rwsstore.store import FittingStore, Store

OTHER = "other"
"""The group of what is for none of the corruptions, such as a composed patch."""


@dataclass(frozen=True)
class Signature:
    """A patch at its recommended strength.

    Attributes:
        name: what it is called in tables and pictures.
        digest: of the patch.
        corruption: that it is for; None where it is for none of `CORRUPTIONS`.
        parts: (patch, α) with tensors of their own, by digest; several for a composed patch.
    """

    name: str
    digest: Digest
    corruption: str | None
    parts: tuple[tuple[Patch, float], ...]

    @property
    def group(self) -> str:
        """Group of its corruption (noise, blur, weather or digital), or `OTHER`."""
        return group_of(self.corruption)

    @property
    def tensors(self) -> frozenset[str]:
        """Names of the tensors that it changes."""
        return frozenset(name for patch, _ in self.parts for name in patch.tensors)

    def delta(self, tensor: str) -> Tensor | None:
        """What it adds to one tensor; None where that is nothing.

        Returns:
            The float32 numbers that are added to the weights, dequantized, their sum in float64.
        """
        total: Tensor | None = None
        for patch, alpha in self.parts:
            if tensor in patch.tensors:
                delta = patch.tensors[tensor].delta(alpha).double()
                total = delta if total is None else total.add_(delta)
        return total


def group_of(corruption: str | None) -> str:
    """Group of a corruption, or `OTHER` where it is none that is known."""
    if corruption is None or corruption not in CORRUPTIONS:
        return OTHER
    return CORRUPTIONS[corruption].group


def gather_signatures(
    model: nn.Module, patches: Mapping[str, Patch], source: PatchSource | None = None
) -> tuple[Signature, ...]:
    """Check that patches belong on a model, and resolve the composed ones.

    Args:
        model: the clean model.
        patches: by the name that they shall have; their order is kept.
        source: where the parts of composed patches are found; by default among `patches`.

    Raises:
        ConfigError: one patch stands under two names, or its strength is 0.
        MismatchError: a patch belongs on another model.
        UnknownPatchError: a part of a composed patch is not in the source.
    """
    identity = identify(model.state_dict())
    found = source if source is not None else PatchBag(patches.values())
    names: dict[Digest, str] = {}
    for name, patch in patches.items():
        if patch.digest in names:
            raise ConfigError(
                f"{names[patch.digest]!r} and {name!r} are the same patch {patch.digest[:12]}; "
                "expected different ones"
            )
        names[patch.digest] = name
    return tuple(_signature(name, patch, identity, found) for name, patch in patches.items())


def _signature(name: str, patch: Patch, model: ModelIdentity, source: PatchSource) -> Signature:
    check_fit(patch, model)
    parts = []
    for digest, alpha in PatchSet.of([(patch, patch.metadata.alpha.recommended)]):
        part = patch if digest == patch.digest else source.get(digest)
        check_fit(part, model)
        parts.append((part, alpha))
    if not parts:
        raise ConfigError(f"the recommended alpha of patch {name!r} is 0: it changes nothing")
    corruption = patch.metadata.corruption
    known = corruption if corruption in CORRUPTIONS else None
    return Signature(name, patch.digest, known, tuple(parts))


def find_signatures(model: nn.Module, store: Store) -> tuple[Signature, ...]:
    """Find all RWS patches of a model in a store, each name at its newest version.

    They stand group by group, in the order of `CORRUPTIONS`, then by name. A patch that has
    several names stands under the first of them.

    Raises:
        UnknownPatchError: there is none.
    """
    identity = identify(model.state_dict())
    places = {corruption: place for place, corruption in enumerate(CORRUPTIONS)}
    entries = sorted(
        FittingStore(store, identity).list(kind="rws"),
        key=lambda entry: (places.get(entry.corruption or "", len(places)), entry.name),
    )
    names: dict[Digest, str] = {}
    for entry in entries:
        names.setdefault(entry.digest, entry.name)
    if not names:
        raise UnknownPatchError(
            "the store has no RWS patch of this model: extract some (rws extract), or name another "
            "store (--store)"
        )
    return gather_signatures(model, {name: store.get(d) for d, name in names.items()}, store)


def layer_vectors(signatures: Sequence[Signature], sizes: Mapping[str, int]) -> Tensor:
    """Lay the deltas of one layer side by side.

    Args:
        signatures: P of them.
        sizes: number of values of each of the layer's tensors, by name.

    Returns:
        float64 [P, values]; zeros where a signature does not change a tensor.
    """
    vectors = torch.zeros(len(signatures), sum(sizes.values()), dtype=torch.float64)
    for row, signature in zip(vectors, signatures, strict=True):
        start = 0
        for name, count in sizes.items():
            delta = signature.delta(name)
            if delta is not None:
                row[start : start + count] = delta.flatten()
            start += count
    return vectors
