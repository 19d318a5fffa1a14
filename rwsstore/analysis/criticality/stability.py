"""How far the choice of critical layers depends on the batch (CLAT, Table 7)."""

__all__ = ["BatchStability", "Stability", "check_draws", "measure_stability", "stability_of"]

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rwsstore.analysis.criticality.indices import Criticality, Weaknesses
from rwsstore.analysis.criticality.measuring import CriticalityOptions, measure_weaknesses
from rwsstore.canonical import canonical_json, sha256_hex
from rwsstore.data.imageset import balanced_indices
from rwsstore.errors import ConfigError
from rwsstore.files import Results
from rwsstore.models import main_path_convolutions
from rwsstore.progress import SILENT, Reporter

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
    known = labels.cpu().numpy()
    batches = []
    for size in sizes:
        rows = (balanced_indices(known, size, _seed(seed, size, draw)) for draw in range(draws))
        found = [weaknesses.criticality(torch.from_numpy(chosen)) for chosen in rows]
        batches.append(_compared(size, found, frozenset(reference.top(k)), k))
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


def _compared(
    size: int, found: Sequence[Criticality], reference: frozenset[str], k: int
) -> BatchStability:
    tops = tuple(one.top(k) for one in found)
    shared = [len(reference & set(top)) / k for top in tops]
    indices = torch.tensor([one.indices for one in found], dtype=torch.float64)
    return BatchStability(
        size=size,
        tops=tops,
        recovered=sum(shared) / len(shared),
        same=sum(share == 1 for share in shared) / len(shared),
        means=tuple(indices.mean(0).tolist()),
        deviations=tuple(indices.std(0).tolist()),
    )


def _seed(*key: int) -> int:
    """Make an independent seed of a key, 0 to 2^62 − 1."""
    return int(sha256_hex(canonical_json(["stability", *key]).encode())[:16], 16) >> 2
