"""A network's critical layers, and how far their choice depends on the batch (CLAT, Table 9)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rwsstore.canonical import derive_seed
from rwsstore.data.imageset import balanced_indices
from rwsstore.errors import ConfigError
from rwsstore.files import Results
from rwsstore.models import main_path_convolutions
from rwsstore.probes.criticality.measuring import (
    Criticality,
    CriticalityOptions,
    Weaknesses,
    measure_weaknesses,
)
from rwsstore.progress import SILENT, Reporter
from rwsstore.tables import csv_text, json_values

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


def measure_stability(
    model: nn.Module,
    images: Tensor,
    labels: Tensor | None,
    options: CriticalityOptions | None = None,
    *,
    sizes: Sequence[int] = _SIZES,
    draws: int = _DRAWS,
    k: int = _K,
    seed: int = 0,
    leaves: Iterable[type[nn.Module]] = (),
    results: Results | None = None,
    progress: Reporter = SILENT,
) -> Stability:
    """Attack all images once, and see what batches drawn from them would have chosen.

    Args:
        model: in evaluation mode; left as it is, to the bit.
        images: uint8, or floats in [0, 1]; [N, 3, H, W], N above the largest size.
        labels: int64 [N].
        options: the attack.
        sizes: images of a batch.
        draws: batches of each size.
        k: the most critical layers that are compared.
        seed: of the attack's random starts and of the draws, at least 0.
        leaves: classes of modules that cannot be traced; what they hold is not measured.
        results: what was measured before; all that it depends on is in its identity.
        progress: counts images.

    Raises:
        ConfigError: as in `check_draws` and `measure_weaknesses`; nothing was attacked.
        TensorError, DataError: as in `measure_weaknesses`.
    """
    layers = main_path_convolutions(model, leaves=leaves)
    check_draws(sizes, draws, k, images=len(images), layers=len(layers))
    found = measure_weaknesses(
        model, images, labels, options, seed=seed, leaves=leaves, results=results,
        progress=progress,
    )  # fmt: skip
    assert labels is not None  # noqa: S101  (they were checked)
    return stability_of(found, labels, sizes=sizes, draws=draws, k=k, seed=seed)


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


_COLUMNS = "number layer weakness:.6g criticality:.6g rank chosen share:.6g"
_JSON = ("number", "name", "weakness", "criticality", "rank", "chosen", "share")


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

    def numbers(self, names: tuple[str, ...]) -> tuple[int, ...]:
        """Layers by their places in the forward pass, from 1."""
        known = {row.name: row.number for row in self.rows}
        return tuple(known[name] for name in names)

    def to_dict(self) -> dict[str, Any]:
        """As JSON; what is not finite is null."""
        document = {
            "dataset": self.dataset,
            "images": self.images,
            "epsilon": self.options.epsilon,
            "steps": self.options.steps,
            "step_size": self.options.step_size,
            "seed": self.seed,
            "k": self.k,
            "chosen": [row.name for row in self.chosen],
            "chosen_share": self.chosen_share,
            "layers": [dict(zip(_JSON, vars(row).values(), strict=True)) for row in self.rows],
            "stability": self.stability and _stability(self.stability),
        }
        values: dict[str, Any] = json_values(document)
        return values

    def to_csv(self) -> str:
        """A row for each layer."""
        return csv_text(_COLUMNS, (tuple(vars(row).values()) for row in self.rows))


def _stability(found: Stability) -> dict[str, Any]:
    batches = []
    for batch in found.batches:
        names, count = batch.most_frequent
        batches.append(
            {
                "size": batch.size,
                "most_frequent": names,
                "most_frequent_draws": count,
                "recovered": batch.recovered,
                "same": batch.same,
                "means": batch.means,
                "deviations": batch.deviations,
            }
        )
    return {
        "k": found.k,
        "draws": found.draws,
        "images": found.reference.images,
        "reference": found.top,
        "batches": batches,
    }
