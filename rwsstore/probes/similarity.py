"""Patches as vectors: how large they are, layer by layer, and how much alike.

Cai et al., Robust Weight Signatures, ICML 2023, section 2.2 and figures 2 to 4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rwsstore.canonical import Digest
from rwsstore.corruptions import CORRUPTIONS
from rwsstore.errors import ConfigError, MismatchError, UnknownPatchError
from rwsstore.models import ordered_layers, touched_layers
from rwsstore.patches import Patch, PatchSet, check_fit, identify
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
    signatures: dict[Digest, Signature] = {}
    for name, patch in patches.items():
        if patch.digest in signatures:
            raise ConfigError(
                f"{signatures[patch.digest].name!r} and {name!r} are the same patch "
                f"{patch.digest[:12]}; expected different ones"
            )
        check_fit(patch, identity)
        parts = []
        for digest, alpha in PatchSet.of([(patch, patch.metadata.alpha.recommended)]):
            part = patch if digest == patch.digest else found.get(digest)
            check_fit(part, identity)
            parts.append((part, alpha))
        if not parts:
            raise ConfigError(f"the recommended alpha of patch {name!r} is 0: it changes nothing")
        corruption = patch.metadata.corruption
        known = corruption if corruption in CORRUPTIONS else None
        signatures[patch.digest] = Signature(name, patch.digest, known, tuple(parts))
    return tuple(signatures.values())


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
    """Lay the deltas of a layer side by side: float64 [P, values], zeros where there are none.

    Args:
        signatures: P of them.
        sizes: number of values of each of the layer's tensors, by name.
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


@dataclass(frozen=True, eq=False)
class Similarity:
    """Norms and cosines of P signatures over the L layers that any of them changes.

    Attributes:
        signatures: in the order of all rows and columns.
        layers: names of the layers, shallowest first.
        norms: ‖Δ‖₂ of each signature in each layer, weights and bias together; float64 [P, L].
        clean_norms: ‖θ_std‖₂ of each layer; float64 [L].
        cosine: of whole signatures, each pair; float64 [P, P], symmetric, from -1 to 1. NaN
            where a signature is all zeros.
        layer_cosine: the same within each layer; float64 [L, P, P]. NaN where a signature does
            not change the layer.
    """

    signatures: tuple[Signature, ...]
    layers: tuple[str, ...]
    norms: Tensor
    clean_norms: Tensor
    cosine: Tensor
    layer_cosine: Tensor

    @property
    def relative_norms(self) -> Tensor:
        """Norms divided by the clean layer's; float64 [P, L]; NaN where that is all zeros."""
        clean = self.clean_norms
        return self.norms / torch.where(clean > 0, clean, torch.nan)

    @property
    def total_norms(self) -> Tensor:
        """Norms of the whole signatures; float64 [P]."""
        return self.norms.square().sum(1).sqrt()

    @property
    def total_relative_norms(self) -> Tensor:
        """The same, divided by the clean norm of all L layers; float64 [P]."""
        return self.total_norms / self.clean_norms.square().sum().sqrt()

    @property
    def energy(self) -> Tensor:
        """Each layer's share of the squared norm, the mean over the signatures; float64 [L]."""
        squares = self.norms.square()
        return (squares / squares.sum(1, keepdim=True)).nanmean(0)

    @property
    def mean_layer_cosine(self) -> Tensor:
        """The mean over the pairs, layer by layer; float64 [L]; NaN where there are none."""
        rows, columns = torch.triu_indices(len(self.signatures), len(self.signatures), 1)
        return self.layer_cosine[:, rows, columns].nanmean(1)


def compare_signatures(model: nn.Module, signatures: Sequence[Signature]) -> Similarity:
    """Compare signatures of one model.

    Args:
        model: the clean model that they belong to; traceable.
        signatures: two or more, from `gather_signatures`.

    Raises:
        ConfigError: fewer than two, or the model cannot be traced.
        MismatchError: a signature changes a tensor that belongs to no layer.
    """
    if len(signatures) < 2:
        raise ConfigError(
            f"{len(signatures)} patch given; a comparison takes two or more of the same model"
        )
    touched = frozenset().union(*(signature.tensors for signature in signatures))
    layers = touched_layers(model, touched)
    others = sorted(touched - {name for layer in layers for name in layer.parameters})
    if others:
        raise MismatchError(
            f"a patch changes {others[0]!r}, which belongs to no layer of this model; layers are "
            f"{', '.join(layer.name for layer in ordered_layers(model))}"
        )
    state, given = model.state_dict(), tuple(signatures)
    products = torch.empty(len(layers), len(given), len(given), dtype=torch.float64)
    squares = []
    for product, layer in zip(products, layers, strict=True):
        # One layer at a time: all vectors of a large network would not fit into memory.
        vectors = layer_vectors(given, {name: state[name].numel() for name in layer.parameters})
        product.copy_(vectors @ vectors.T)
        weights = [state[name].detach().double() for name in layer.parameters]
        squares.append(sum(float(tensor.square().sum()) for tensor in weights))
    return Similarity(
        signatures=given,
        layers=tuple(layer.name for layer in layers),
        norms=products.diagonal(dim1=1, dim2=2).sqrt().T,
        clean_norms=torch.tensor(squares, dtype=torch.float64).sqrt(),
        cosine=_cosine(products.sum(0)),
        layer_cosine=torch.stack([_cosine(product) for product in products]),
    )


def _cosine(products: Tensor) -> Tensor:
    """Cosines from all inner products [P, P]; a vector of zeros has none."""
    norms = products.diagonal().sqrt()
    norms = torch.where(norms > 0, norms, torch.nan)
    cosine = products / norms[:, None] / norms[None, :]
    # Rounding must not make a cosine of 1 + 2e-16, nor one that depends on which comes first.
    cosine = ((cosine + cosine.T) / 2).clamp(-1, 1)
    cosine.diagonal().copy_(norms / norms)
    return cosine
