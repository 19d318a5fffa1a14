"""What each patch gains and costs on every corruption, its own and the others.

Cai et al., ICML 2023, figure 4 (right), with patches in place of whole robust models.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor, nn

from rwsstore.corruptions import CORRUPTIONS, corrupt, load_frost_overlays
from rwsstore.corruptions.registry import find_corruption
from rwsstore.corruptions.rows import check_severity
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError
from rwsstore.measure import accuracy
from rwsstore.measure.accuracy import Predict
from rwsstore.probes.similarity import Signature
from rwsstore.progress import SILENT, Reporter
from rwsstore.runtime import LiveModel, PatchBag

Measure = Callable[[str, Predict, Callable[[], Tensor], Tensor], float]
"""Accuracy in percent of (key, predict, images, labels). The key says what is measured, `images`
makes the images when it is called."""


@dataclass(frozen=True)
class GainOptions:
    """What gains are measured on.

    Attributes:
        corruptions: names, each once.
        severity: of all of them, 1 to 5.
        seed: of the corruptions.
        frost_overlays: folder of photographs for the exact frost; None is the synthetic one.

    Raises:
        ConfigError: no corruption, one twice, or a severity out of its range.
        UnknownNameError: no such corruption.
    """

    corruptions: tuple[str, ...] = tuple(CORRUPTIONS)
    severity: float = 5
    seed: int = 0
    frost_overlays: Path | None = None

    def __post_init__(self) -> None:
        check_severity(self.severity)
        for name in self.corruptions:
            find_corruption(name)
        if not self.corruptions or len(set(self.corruptions)) != len(self.corruptions):
            raise ConfigError(
                f"corruptions are {self.corruptions}; expected some, none of them twice"
            )


@dataclass(frozen=True, eq=False)
class Gains:
    """Accuracies in percent of the clean model and of each of P patches, on C corruptions.

    Attributes:
        signatures: the patches, in the order of the rows.
        options: corruptions, in the order of the columns, and severity.
        dataset: name of the images.
        images: how many.
        clean_ta: of the clean model on clean images.
        clean_ra: of the clean model on each corruption; float64 [C].
        ta: of each patch on clean images; float64 [P].
        ra: of each patch on each corruption; float64 [P, C].
    """

    signatures: tuple[Signature, ...]
    options: GainOptions
    dataset: str
    images: int
    clean_ta: float
    clean_ra: Tensor
    ta: Tensor
    ra: Tensor

    @property
    def gains(self) -> Tensor:
        """RA with the patch − RA without, in points; float64 [P, C]."""
        return self.ra - self.clean_ra

    @property
    def costs(self) -> Tensor:
        """TA with the patch − TA without, in points, mostly below 0; float64 [P]."""
        return self.ta - self.clean_ta


def _accuracy(_key: str, predict: Predict, images: Callable[[], Tensor], labels: Tensor) -> float:
    return accuracy(predict, images(), labels)


def measure_gains(
    model: nn.Module,
    signatures: Sequence[Signature],
    images: ImageSet,
    options: GainOptions,
    *,
    measure: Measure = _accuracy,
    progress: Reporter = SILENT,
) -> Gains:
    """Measure every patch on every corruption, and on clean images.

    Args:
        model: the clean model.
        signatures: one or more; each patch at its recommended strength.
        images: labelled test images.
        options: corruptions, severity, seed.
        measure: how accuracy is found; a study that remembers results gives its own. Keys are
            `gain/WHO/WHERE`: `clean` or a signature's name, and a corruption's, or `none`.
        progress: where to report.

    Raises:
        ConfigError: no signature.
        MismatchError: a patch belongs on another model.
        GoldenError: a patch does not do what it recorded.
    """
    if not signatures:
        raise ConfigError("no patches to measure; expected one or more")
    folder = options.frost_overlays
    overlays = None if folder is None else load_frost_overlays(folder)
    # Every refusal comes before the first measurement.
    live = LiveModel(model, PatchBag([part for one in signatures for part, _ in one.parts]))
    variants = {"clean": live.variant({})}
    for one in signatures:
        variants[one.name] = live.variant({part.digest: alpha for part, alpha in one.parts})

    def corrupted(place: str) -> Tensor:
        if place == "none":
            return images.images
        severity, seed = options.severity, options.seed
        return corrupt(images.images, place, severity, seed=seed, frost_overlays=overlays)

    rows: list[list[float]] = []
    total = len(variants) * (1 + len(options.corruptions))
    with progress.task("measuring gains", total=total) as task:
        for place in ("none", *options.corruptions):
            pixels = cache(partial(corrupted, place))
            rows.append([])
            for name, variant in variants.items():
                found = measure(f"gain/{name}/{place}", variant, pixels, images.labels)
                rows[-1].append(found)
                task.advance(note=f"{name} on {place}: {found:.1f} %")
    table = torch.tensor(rows, dtype=torch.float64).T
    return Gains(
        signatures=tuple(signatures),
        options=options,
        dataset=images.name,
        images=len(images),
        clean_ta=float(table[0, 0]),
        clean_ra=table[0, 1:],
        ta=table[1:, 0],
        ra=table[1:, 1:],
    )
