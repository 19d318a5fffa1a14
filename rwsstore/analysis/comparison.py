"""Everything that `rws compare` finds, in one piece."""

__all__ = ["Comparison", "LayerSummary", "summarize"]

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from rwsstore.analysis.gains import Gains
from rwsstore.analysis.groups import RELABELINGS, GroupContrast, contrast_groups
from rwsstore.analysis.similarity import Similarity
from rwsstore.corruptions import frost_source


@dataclass(frozen=True)
class LayerSummary:
    """One layer, over all patches.

    Attributes:
        name: of the layer.
        clean_norm: ‖θ_std‖₂.
        norm: mean ‖Δ‖₂.
        relative_norm: mean ‖Δ‖₂ / ‖θ_std‖₂; None where the clean layer is all zeros.
        energy: mean share of the squared norm.
        cosine: mean over the pairs of patches; None where there are none.
        groups: whether the groups appear in the layer's cosines; None where that cannot be asked.
    """

    name: str
    clean_norm: float
    norm: float
    relative_norm: float | None
    energy: float
    cosine: float | None
    groups: GroupContrast | None


@dataclass(frozen=True, eq=False)
class Comparison:
    """Patches of one model compared.

    Attributes:
        similarity: norms and cosines.
        layers: a summary of each layer.
        groups: whether the groups appear in the cosines of whole signatures; None where the
            patches are of too few corruptions to ask.
        gains: what each patch gains on every corruption, where that was measured.
        gain_groups: whether the groups appear there.
        gain_correlation: Pearson's, between the cosine of two patches and what one gains on the
            corruption of the other, over pairs of different corruptions; None with fewer than
            three pairs, or where one of both does not vary.
    """

    similarity: Similarity
    layers: tuple[LayerSummary, ...]
    groups: GroupContrast | None
    gains: Gains | None
    gain_groups: GroupContrast | None
    gain_correlation: float | None

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON values; what is not defined is null."""
        found = self.similarity
        columns = zip(
            found.signatures,
            found.total_norms.tolist(),
            found.total_relative_norms.tolist(),
            _values(found.norms),
            _values(found.relative_norms),
            strict=True,
        )
        return {
            "patches": [
                {
                    "name": one.name,
                    "digest": one.digest,
                    "corruption": one.corruption,
                    "group": one.group,
                    "norm": norm,
                    "relative_norm": _number(relative),
                    "layer_norms": norms,
                    "relative_layer_norms": relatives,
                }
                for one, norm, relative, norms, relatives in columns
            ],
            "cosine": _values(found.cosine),
            "groups": _groups(self.groups),
            "layers": [
                {**asdict(layer), "groups": _groups(layer.groups), "cosines": _values(cosines)}
                for layer, cosines in zip(self.layers, found.layer_cosine, strict=True)
            ],
            "gains": None if self.gains is None else self._gains_to_dict(self.gains),
        }

    def _gains_to_dict(self, gains: Gains) -> dict[str, Any]:
        options = gains.options
        return {
            "dataset": gains.dataset,
            "images": gains.images,
            "severity": options.severity,
            "seed": options.seed,
            "frost_source": frost_source(options.frost_overlays),
            "corruptions": list(options.corruptions),
            "clean_accuracy": gains.clean_ta,
            "clean_model": _values(gains.clean_ra),
            "patched": _values(gains.ra),
            "patched_clean_accuracy": _values(gains.ta),
            "gains": _values(gains.gains),
            "costs": _values(gains.costs),
            "groups": _groups(self.gain_groups),
            "correlation_with_cosine": self.gain_correlation,
        }


def summarize(
    similarity: Similarity,
    gains: Gains | None = None,
    *,
    seed: int = 0,
    relabelings: int = RELABELINGS,
) -> Comparison:
    """Put together what was found, and ask whether the groups appear in it.

    Args:
        similarity: of the patches.
        gains: of the same patches.
        seed: of the permutation tests.
        relabelings: of each of them.

    Raises:
        ConfigError: `relabelings` is below 1.
    """
    names = [one.corruption for one in similarity.signatures]

    def contrast(values: Tensor, columns: Sequence[str] | None = None) -> GroupContrast | None:
        return contrast_groups(
            values,
            names,
            names if columns is None else columns,
            symmetric=columns is None,
            seed=seed,
            relabelings=relabelings,
        )

    layers = zip(
        similarity.layers,
        similarity.clean_norms.tolist(),
        similarity.norms.mean(0).tolist(),
        similarity.relative_norms.mean(0).tolist(),
        similarity.energy.tolist(),
        similarity.mean_layer_cosine.tolist(),
        similarity.layer_cosine,
        strict=True,
    )
    return Comparison(
        similarity=similarity,
        layers=tuple(
            LayerSummary(
                name=name,
                clean_norm=clean,
                norm=norm,
                relative_norm=_number(relative),
                energy=energy,
                cosine=_number(cosine),
                groups=contrast(cosines),
            )
            for name, clean, norm, relative, energy, cosine, cosines in layers
        ),
        groups=contrast(similarity.cosine),
        gains=gains,
        gain_groups=None if gains is None else contrast(gains.gains, gains.options.corruptions),
        gain_correlation=None if gains is None else _correlation(similarity, gains),
    )


def _correlation(similarity: Similarity, gains: Gains) -> float | None:
    """Between cosine(i, j) and the gain of i on the corruption of j, where the two differ."""
    names = [one.corruption for one in similarity.signatures]
    columns = {name: place for place, name in enumerate(gains.options.corruptions)}
    pairs = [
        [float(similarity.cosine[row, column]), float(gains.gains[row, columns[name]])]
        for row, own in enumerate(names)
        for column, name in enumerate(names)
        if name in columns and own is not None and own != name
    ]
    table = torch.tensor(pairs, dtype=torch.float64).reshape(-1, 2)
    if len(table) < 3 or not table.isfinite().all() or not (table.std(0) > 0).all():
        return None
    return float(table.T.corrcoef()[0, 1])


def _groups(found: GroupContrast | None) -> dict[str, Any] | None:
    return None if found is None else {**asdict(found), "appear": found.appear}


def _values(tensor: Tensor) -> Any:
    """Nested lists, None for what is not a number."""
    if tensor.ndim:
        return [_values(row) for row in tensor]
    return _number(float(tensor))


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
