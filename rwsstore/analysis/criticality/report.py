"""What is found out about a network's critical layers, in one piece."""

__all__ = ["CriticalityReport", "LayerRow"]

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from rwsstore.analysis.criticality.indices import Criticality
from rwsstore.analysis.criticality.measuring import CriticalityOptions
from rwsstore.analysis.criticality.stability import BatchStability, Stability
from rwsstore.evaluation.writing import csv_text

_COLUMNS = ("number", "layer", "weakness", "criticality", "rank", "chosen", "share")


@dataclass(frozen=True)
class LayerRow:
    """A layer.

    Attributes:
        number: its place in the forward pass, from 1.
        name: its path.
        weakness: W_ε(F_i).
        index: C_i; infinite where only the layer before has no weakness.
        rank: 1 for the most critical.
        chosen: it is one of the k most critical.
        share: of all the model's parameters that are its own, 0 to 1.
    """

    number: int
    name: str
    weakness: float
    index: float
    rank: int
    chosen: bool
    share: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON; an infinite index is null."""
        return {
            "number": self.number,
            "name": self.name,
            "weakness": self.weakness,
            "criticality": _finite(self.index),
            "rank": self.rank,
            "chosen": self.chosen,
            "share": self.share,
        }


@dataclass(frozen=True)
class CriticalityReport:
    """Layers with their indices, those that CLAT would train, and how far the batch matters.

    Attributes:
        rows: layer by layer in the order of the forward pass.
        k: layers that are chosen.
        images: that were measured.
        options: the attack.
        seed: of the attack and of the draws.
        dataset: name of the images.
        stability: over batches, if that was asked for.
    """

    rows: tuple[LayerRow, ...]
    k: int
    images: int
    options: CriticalityOptions
    seed: int
    dataset: str
    stability: Stability | None

    @classmethod
    def of(
        cls,
        model: nn.Module,
        found: Criticality,
        options: CriticalityOptions | None = None,
        *,
        k: int | None = None,
        seed: int = 0,
        dataset: str = "",
        stability: Stability | None = None,
    ) -> "CriticalityReport":
        """Put together what was measured.

        Args:
            model: that it was measured on.
            found: indices.
            options: the attack.
            k: layers to choose; None: `Criticality.default_k`.
            seed: as given.
            dataset: name of the images.
            stability: over batches.

        Raises:
            ConfigError: k is out of 1…layers.
        """
        chosen, names = found.top(k), found.layers
        ranks = {name: rank for rank, name in enumerate(found.ranking, start=1)}
        values = zip(names, found.weakness, found.indices, _shares(model, names), strict=True)
        rows = tuple(
            LayerRow(number, name, weakness, index, ranks[name], name in chosen, share)
            for number, (name, weakness, index, share) in enumerate(values, start=1)
        )
        return cls(
            rows, len(chosen), found.images, options or CriticalityOptions(), seed, dataset,
            stability,
        )  # fmt: skip

    @property
    def chosen(self) -> tuple[LayerRow, ...]:
        """The k most critical layers, the most critical first."""
        return tuple(sorted((row for row in self.rows if row.chosen), key=lambda row: row.rank))

    @property
    def chosen_share(self) -> float:
        """Share of all parameters that the chosen layers have, 0 to 1."""
        return sum(row.share for row in self.chosen)

    def numbers(self, names: tuple[str, ...]) -> tuple[int, ...]:
        """Layers by their places in the forward pass, from 1."""
        known = {row.name: row.number for row in self.rows}
        return tuple(known[name] for name in names)

    def to_dict(self) -> dict[str, Any]:
        """As JSON; what is not finite is null."""
        return {
            "dataset": self.dataset,
            "images": self.images,
            "epsilon": self.options.epsilon,
            "steps": self.options.steps,
            "step_size": self.options.step_size,
            "seed": self.seed,
            "k": self.k,
            "chosen": [row.name for row in self.chosen],
            "chosen_share": self.chosen_share,
            "layers": [row.to_dict() for row in self.rows],
            "stability": None if self.stability is None else _stability(self.stability),
        }

    def to_csv(self) -> str:
        """A row for each layer."""
        return csv_text(_COLUMNS, self._lines())

    def _lines(self) -> Iterator[tuple[object, ...]]:
        for row in self.rows:
            chosen = "yes" if row.chosen else "no"
            numbers = (f"{row.weakness:.6g}", f"{row.index:.6g}", row.rank)
            yield (row.number, row.name, *numbers, chosen, f"{row.share:.6g}")


def _shares(model: nn.Module, layers: tuple[str, ...]) -> list[float]:
    """What part of all parameters each layer has."""
    modules = [model.get_submodule(name) for name in layers]
    counts = [sum(p.numel() for p in module.parameters()) for module in (model, *modules)]
    return [count / counts[0] for count in counts[1:]]


def _stability(found: Stability) -> dict[str, Any]:
    return {
        "k": found.k,
        "draws": found.draws,
        "images": found.reference.images,
        "reference": list(found.top),
        "batches": [_batch(batch) for batch in found.batches],
    }


def _batch(batch: BatchStability) -> dict[str, Any]:
    names, count = batch.most_frequent
    return {
        "size": batch.size,
        "most_frequent": list(names),
        "most_frequent_draws": count,
        "recovered": batch.recovered,
        "same": batch.same,
        "means": [_finite(value) for value in batch.means],
        "deviations": [_finite(value) for value in batch.deviations],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
