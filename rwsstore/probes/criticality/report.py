"""A network's critical layers, and how far their choice depends on the batch (CLAT, Table 9)."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from rwsstore.canonical import derive_seed
from rwsstore.data.imageset import balanced_indices
from rwsstore.drawing import frame, new_figure, png_bytes
from rwsstore.errors import ConfigError
from rwsstore.models import short_names
from rwsstore.probes.criticality.measuring import Criticality, CriticalityOptions, Weaknesses
from rwsstore.probes.report import Report
from rwsstore.tables import Column, Table, csv_text, json_values

_SIZES = (10, 30, 50, 100)
_DRAWS = 20
_K = 5


@dataclass(frozen=True)
class BatchStability:
    """What batches of one size say.

    Attributes:
        size: images of a batch.
        tops: of each draw the k most critical layers, the most critical first.
        recovered: share of the reference's top k that a batch finds, in the mean over draws.
        same: share of the draws whose top k are the reference's, in any order.
        means: of each layer's index over the draws.
        deviations: its standard deviation over the draws; NaN where an index is infinite.
    """

    size: int
    tops: tuple[tuple[str, ...], ...]
    recovered: float
    same: float
    means: tuple[float, ...]
    deviations: tuple[float, ...]

    @property
    def most_frequent(self) -> tuple[tuple[str, ...], int]:
        """The top k, in order, that most draws have (of equals the first drawn); how many do."""
        return Counter(self.tops).most_common(1)[0]

    @property
    def spread(self) -> str:
        """Standard deviation of an index over its mean: that of most layers, and the largest."""
        shares = [
            deviation / mean
            for mean, deviation in zip(self.means, self.deviations, strict=True)
            if mean > 0 and math.isfinite(deviation)
        ]
        return f"{median(shares):.1%}, up to {max(shares):.1%}" if shares else "-"

    def to_dict(self) -> dict[str, Any]:
        """As JSON, without the single draws."""
        names, count = self.most_frequent
        found = {"size": self.size, "most_frequent": names, "most_frequent_draws": count}
        return {**found, **{name: value for name, value in vars(self).items() if name != "tops"}}


@dataclass(frozen=True)
class Stability:
    """Batches of several sizes against all images.

    Attributes:
        reference: over all images that batches are drawn from.
        k: layers that are compared.
        draws: batches of each size.
        batches: size by size.
    """

    reference: Criticality
    k: int
    draws: int
    batches: tuple[BatchStability, ...]

    @property
    def top(self) -> tuple[str, ...]:
        """The k most critical layers over all images."""
        return self.reference.top(self.k)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "k": self.k,
            "draws": self.draws,
            "images": self.reference.images,
            "reference": self.top,
            "batches": [batch.to_dict() for batch in self.batches],
        }


def stability_of(
    weaknesses: Weaknesses,
    labels: Tensor,
    *,
    sizes: Sequence[int] = _SIZES,
    draws: int = _DRAWS,
    k: int = _K,
    seed: int = 0,
) -> Stability:
    """Draw batches of images that were measured, and compare their indices with all images'.

    Args:
        weaknesses: of N images.
        labels: int64 [N]; a batch has as many images of each class as it can.
        sizes: images of a batch.
        draws: batches of each size.
        k: the most critical layers that are compared.
        seed: of the draws, at least 0.

    Raises:
        ConfigError: as in `check_draws`.
    """
    check_draws(sizes, draws, k, images=len(weaknesses), layers=len(weaknesses.layers))
    reference = weaknesses.criticality()
    top, known = frozenset(reference.top(k)), labels.cpu().numpy()
    batches = []
    for size in sizes:
        found = []
        for draw in range(draws):
            rows = balanced_indices(known, size, derive_seed("stability", seed, size, draw))
            found.append(weaknesses.criticality(torch.from_numpy(rows)))
        tops = tuple(one.top(k) for one in found)
        shared = [len(top.intersection(own)) / k for own in tops]
        indices = torch.tensor([one.indices for one in found], dtype=torch.float64)
        batches.append(
            BatchStability(
                size=size,
                tops=tops,
                recovered=sum(shared) / draws,
                same=sum(share == 1 for share in shared) / draws,
                means=tuple(indices.mean(0).tolist()),
                deviations=tuple(indices.std(0).tolist()),
            )
        )
    return Stability(reference, k, draws, tuple(batches))


def check_draws(sizes: Sequence[int], draws: int, k: int, *, images: int, layers: int) -> None:
    """Refuse what cannot be drawn or compared, before anything is attacked.

    Raises:
        ConfigError: no sizes, one twice or out of 1…images − 1; fewer than 2 draws; k out of
            1…layers.
    """
    if not sizes or len(set(sizes)) != len(sizes) or min(sizes) < 1:
        raise ConfigError(f"batches of {list(sizes)} images; expected numbers above 0, each once")
    if max(sizes) >= images:
        raise ConfigError(
            f"all batches of {max(sizes)} of {images} images would be the same: draw smaller ones, "
            "or measure more images"
        )
    if draws < 2:
        raise ConfigError(f"draws is {draws}; expected 2 or more")
    if not 1 <= k <= layers:
        raise ConfigError(f"the {k} most critical layers were asked for; there are {layers}")


_CHOSEN, _OTHER, _LINE = "#d1762b", "#8ea9c1", "#444444"
_NAMED = 24
"""With more layers, numbers stand below the bars instead of names."""
_LISTED = 12
"""Chosen layers that are named one by one."""


@dataclass(frozen=True)
class LayerRow:
    """A layer.

    Attributes:
        number: its place in the forward pass, from 1.
        name: its path.
        weakness: W_ε(F_i).
        criticality: C_i; infinite where only the layer before has no weakness.
        rank: 1 for the most critical.
        chosen: it is one of the k most critical.
        share: of all the model's parameters that are its own, 0 to 1.
    """

    number: int
    name: str
    weakness: float
    criticality: float
    rank: int
    chosen: bool
    share: float


@dataclass(frozen=True)
class CriticalityReport(Report):
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
        """Put together what was measured on a model; k is `Criticality.default_k` by default.

        Raises:
            ConfigError: k is out of 1…layers.
        """
        chosen, names = found.top(k), found.layers
        ranks = {name: rank for rank, name in enumerate(found.ranking, start=1)}
        modules = (model, *map(model.get_submodule, names))
        every, *own = (sum(p.numel() for p in module.parameters()) for module in modules)
        values = zip(names, found.weakness, found.indices, own, strict=True)
        rows = tuple(
            LayerRow(number, name, weakness, index, ranks[name], name in chosen, count / every)
            for number, (name, weakness, index, count) in enumerate(values, start=1)
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

    def to_dict(self) -> dict[str, Any]:
        """As JSON; what is not finite is null."""
        attack = {name: getattr(self.options, name) for name in ("epsilon", "steps", "step_size")}
        document: dict[str, Any] = {
            "dataset": self.dataset,
            "images": self.images,
            **attack,
            "seed": self.seed,
            "k": self.k,
            "chosen": [row.name for row in self.chosen],
            "chosen_share": self.chosen_share,
            "layers": self.rows,
            "stability": self.stability and self.stability.to_dict(),
        }
        return {name: json_values(value) for name, value in document.items()}

    def to_csv(self) -> str:
        """A row for each layer."""
        columns = "number layer weakness:.6g criticality:.6g rank chosen share:.6g"
        return csv_text(columns, (tuple(vars(row).values()) for row in self.rows))

    def parts(self) -> Iterator[Table | str]:
        """A line a layer, the choice in words, and how stable it is."""
        names = self._names
        columns = (
            Column("", "number"),
            Column("layer", lambda row: names[row.number - 1], left=True),
            Column("weakness", "weakness", ".3g"),
            Column("criticality", "criticality", ".3f"),
            Column("rank", "rank"),
            Column("parameters", "share", ".2%"),
            Column(f"k = {self.k}", lambda row: "chosen" if row.chosen else "", left=True),
        )
        yield f"Criticality of {len(self.rows)} layers, {self._measured}"
        yield Table(columns, self.rows, bold=lambda row: row.chosen)
        said = ", ".join(f"{names[row.number - 1]} ({row.number})" for row in self.chosen)
        yield f"Most critical: {said}; {self.chosen_share:.1%} of all parameters."
        yield (
            "Weakness: how far the attack moves what a layer gives out, ‖F(x + δ) − F(x)‖₂/N in "
            "the mean."
        )
        yield "Criticality: weakness over that of the layer before, for layer 1 its weakness."
        if self.stability is not None:
            yield from self._stable(self.stability)

    def _stable(self, found: Stability) -> Iterator[Table | str]:
        columns = (
            Column("images"),
            Column(f"most frequent top {found.k}", left=True),
            Column("draws"),
            Column("found again", form=".0%"),
            Column("same set", form=".0%"),
            Column("spread"),
        )
        places = {row.name: str(row.number) for row in self.rows}
        rows: list[tuple[object, ...]] = []
        for batch in found.batches:
            top, count = batch.most_frequent
            numbers, drawn = ", ".join(places[name] for name in top), f"{count} of {found.draws}"
            rows.append(
                (f"{batch.size:,}", numbers, drawn, batch.recovered, batch.same, batch.spread)
            )
        every = f"all {found.reference.images:,}"
        rows.append((every, ", ".join(places[name] for name in found.top), "", "", "", ""))
        yield Table(columns, rows)
        yield f"{found.draws} seeded draws of each size, as many images of each class as can be."
        yield f"Found again: share of the top {found.k} over {every} images that a batch has too."
        yield "Same set: draws with all of it."
        yield (
            "Spread: standard deviation of an index over its mean: the layers' median, and the "
            "largest."
        )

    def pictures(self) -> Mapping[str, bytes]:
        """The index of each layer, the chosen ones in another colour.

        A line at 1 divides layers that make features weaker than they were from those that do not.
        """
        rows = self.rows
        figure = new_figure(min(15.0, max(6.0, 2.0 + 0.42 * len(rows))), 4.2)
        axes = figure.add_subplot()
        tallest = max([1.0, *(row.criticality for row in rows if math.isfinite(row.criticality))])
        heights = [min(row.criticality, tallest) for row in rows]  # bars without end are as tall
        for chosen, colour in ((True, _CHOSEN), (False, _OTHER)):
            places = [row.number for row in rows if row.chosen == chosen]
            label = self._legend() if chosen else "other layers"
            axes.bar(places, [heights[n - 1] for n in places], 0.8, color=colour, label=label)
        for row, height in zip(rows, heights, strict=True):
            if row.chosen or math.isinf(row.criticality):
                axes.annotate(
                    f"{row.number}: ∞" if math.isinf(row.criticality) else str(row.number),
                    (row.number, height), xytext=(0, 2), textcoords="offset points", ha="center",
                    fontsize=7,
                )  # fmt: skip
        axes.axhline(1.0, color=_LINE, linestyle=":", linewidth=1)
        count, below = len(rows), ""
        if count <= _NAMED:
            axes.set_xticks(range(1, count + 1), self._names, rotation=90)
        else:
            step = 5 if count <= 60 else 10
            axes.set_xticks([1, *range(step, count + 1, step)])
            below = "layer, in the order of the forward pass"
        frame(axes, x=below, y="criticality index", title=self._measured)
        axes.set_xlim(0.3, count + 0.7)
        axes.set_ylim(0, 1.12 * tallest)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=7)
        return {"": png_bytes(figure)}

    @property
    def _names(self) -> list[str]:
        return short_names([row.name for row in self.rows])

    @property
    def _measured(self) -> str:
        attack = f"PGD-{self.options.steps}, ε = {self.options.epsilon:g}"
        return f"{self.images:,} images of {self.dataset}: {attack}"

    def _legend(self) -> str:
        """Name the chosen layers."""
        names, chosen = self._names, self.chosen
        lines = [f"{row.number}  {names[row.number - 1]}" for row in chosen[:_LISTED]]
        if len(chosen) > _LISTED:
            lines.append(f"and {len(chosen) - _LISTED} more")
        return "\n".join([f"most critical, k = {self.k}:", *lines])
