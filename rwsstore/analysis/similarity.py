"""How large signatures are, layer by layer, and how much alike.

Cai et al., Robust Weight Signatures, ICML 2023, section 2.2 and figures 2 to 4.
"""

__all__ = ["Similarity", "compare_signatures"]

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rwsstore.analysis.signatures import Signature, layer_vectors
from rwsstore.errors import ConfigError, MismatchError
from rwsstore.models import Layer, ordered_layers


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
    layers = _touched_layers(model, signatures)
    state = model.state_dict()
    given = tuple(signatures)
    products = torch.empty(len(layers), len(given), len(given), dtype=torch.float64)
    for product, layer in zip(products, layers, strict=True):
        # One layer at a time: all vectors of a large network would not fit into memory.
        vectors = layer_vectors(given, {name: state[name].numel() for name in layer.parameters})
        product.copy_(vectors @ vectors.T)
    squares = [sum(_square(state[name]) for name in layer.parameters) for layer in layers]
    return Similarity(
        signatures=given,
        layers=tuple(layer.name for layer in layers),
        norms=products.diagonal(dim1=1, dim2=2).sqrt().T,
        clean_norms=torch.tensor(squares, dtype=torch.float64).sqrt(),
        cosine=_cosine(products.sum(0)),
        layer_cosine=torch.stack([_cosine(product) for product in products]),
    )


def _touched_layers(model: nn.Module, signatures: Sequence[Signature]) -> list[Layer]:
    touched = frozenset().union(*(signature.tensors for signature in signatures))
    layers = ordered_layers(model)
    others = sorted(touched - {name for layer in layers for name in layer.parameters})
    if others:
        raise MismatchError(
            f"a patch changes {others[0]!r}, which belongs to no layer of this model; layers are "
            f"{', '.join(layer.name for layer in layers)}"
        )
    return [layer for layer in layers if not touched.isdisjoint(layer.parameters)]


def _square(tensor: Tensor) -> float:
    return float(tensor.detach().double().square().sum())


def _cosine(products: Tensor) -> Tensor:
    """Cosines from all inner products [P, P]; a vector of zeros has none."""
    norms = products.diagonal().sqrt()
    norms = torch.where(norms > 0, norms, torch.nan)
    cosine = products / norms[:, None] / norms[None, :]
    # Rounding must not make a cosine of 1 + 2e-16, nor one that depends on which comes first.
    cosine = ((cosine + cosine.T) / 2).clamp(-1, 1)
    cosine.diagonal().copy_(norms / norms)
    return cosine
