"""Which test images models get right, clean and under attack, and what follows from that."""

__all__ = [
    "MEASURES",
    "Arms",
    "Found",
    "Model",
    "attacks_of",
    "compare",
    "figure_json",
    "packed",
    "points",
    "right_on_others",
    "right_under",
    "rows_of",
    "told",
    "unpacked",
    "verdict",
    "with_worst",
]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.paper.clat_training import Trained
from benchmarks.paper.study import Study
from rwsstore.attacks import Apgd, Attack, Pgd
from rwsstore.canonical import key_part
from rwsstore.data import ImageSet, unit_images
from rwsstore.files import Results
from rwsstore.measure import Figure, Resampling, bootstrap, correctness, mean_of
from rwsstore.models import weights_fingerprint
from rwsstore.progress import SILENT, Reporter
from rwsstore.training.loop import images_digest

MEASURES = ("clean", "pgd", "apgd", "worst")
"""Accuracy on clean images, under PGD, under APGD-CE, and of what all three leave right."""

_CHUNK = 250
"""Images that an interrupted run repeats at most."""


class Model(NamedTuple):
    """A model and the name of the file that its measurements are kept in."""

    name: str
    model: nn.Module

    @classmethod
    def last(cls, run: Trained) -> "Model":
        """After the last epoch."""
        return cls(run.name, run.last)

    @classmethod
    def best(cls, run: Trained) -> "Model":
        """After the epoch that was best on the validation images."""
        return cls(f"{run.name}-best", run.best)


Arms = Mapping[str, Sequence[Model]]
"""By name, the models of one way of training, one a seed."""


@dataclass(frozen=True)
class Found:
    """Accuracies in percent, all with the same draws of the images.

    Attributes:
        seeds: by arm and measure, a figure for each seed.
        figures: by arm and measure, the mean over the seeds.
    """

    seeds: Mapping[str, Mapping[str, tuple[Figure, ...]]]
    figures: Mapping[str, Mapping[str, Figure]]

    def gain(self, arm: str, over: str, measure: str) -> Figure:
        """Points that one arm is above another, in the mean over the seeds."""
        return self.figures[arm][measure] - self.figures[over][measure]

    def headlines(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return {
            arm: {measure: figure_json(figure) for measure, figure in figures.items()}
            for arm, figures in self.figures.items()
        }


def compare(study: Study, arms: Arms) -> Found:
    """Measure every model, and draw the images again for all of them at once."""
    rows: dict[tuple[str, str, int], Tensor] = {}
    with study.progress.task("models measured", total=sum(map(len, arms.values()))) as task:
        for arm, models in arms.items():
            for place, model in enumerate(models):
                measured = rows_of(study, model)
                rows.update({(arm, name, place): row for name, row in measured.items()})
                worst = 100 * float(measured["worst"].double().mean())
                task.advance(note=f"{arm}, {model.name}: {worst:.1f} % under attack")
    settings = study.settings
    figures = bootstrap(rows, Resampling(settings.clat.evaluation.resamples, seed=settings.seed))
    seeds = {
        arm: {
            measure: tuple(figures[arm, measure, place] for place in range(len(models)))
            for measure in MEASURES
        }
        for arm, models in arms.items()
    }
    means = {
        arm: {measure: mean_of(each) for measure, each in measures.items()}
        for arm, measures in seeds.items()
    }
    return Found(seeds, means)


def rows_of(study: Study, model: Model) -> dict[str, Tensor]:
    """Which test images one model gets right, bool [N] by measure; kept beside its weights.

    Raises:
        ConfigError: the file holds what was measured on another model, on other images, or with
            other attacks.
    """
    settings = study.settings.clat
    steps = settings.evaluation
    attacks = attacks_of(settings.epsilon, steps.pgd_steps, steps.apgd_steps)
    identity = {
        "weights": weights_fingerprint(model.model.state_dict()),
        "images": images_digest(study.test),
        "attacks": {
            name: None if attack is None else key_part(attack.name, asdict(attack))
            for name, attack in attacks.items()
        },
        "seed": study.settings.seed,
    }
    results = Results(study.work / f"{model.name}.measured.json", identity)
    found = {
        name: right_under(
            results, name, model.model, study.test, attack, seed=study.settings.seed,
            progress=study.progress,
        )
        for name, attack in attacks.items()
    }  # fmt: skip
    return with_worst(found)


def attacks_of(epsilon: float, pgd_steps: int, apgd_steps: int) -> dict[str, Attack | None]:
    """No attack, PGD and APGD-CE, all in L∞."""
    return {
        "clean": None,
        "pgd": Pgd(epsilon, steps=pgd_steps),
        "apgd": Apgd(epsilon, steps=apgd_steps),
    }


def with_worst(rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add what is right without an attack and under every one."""
    return {**rows, "worst": torch.stack(list(rows.values())).all(0)}


def right_under(
    results: Results,
    key: str,
    model: nn.Module,
    images: ImageSet,
    attack: Attack | None,
    *,
    seed: int = 0,
    progress: Reporter = SILENT,
) -> Tensor:
    """Tell which images a model gets right under an attack on itself, in the white box.

    Args:
        results: of an earlier run, and of this one.
        key: names the measurement.
        model: that is attacked.
        images: that are changed.
        attack: None for none; it leaves an image alone once the model gets it wrong.
        seed: of random starts.
        progress: counts images.

    Returns:
        bool [N].
    """

    def tried(indices: Tensor) -> dict[str, Tensor]:
        shown, labels = unit_images(images.images[indices]), images.labels[indices]
        if attack is not None:
            shown = attack.perturb(model, shown, labels, seed=seed, indices=indices)
        return {"right": correctness(model, shown, labels)}

    return _in_parts(results, key, len(images), tried, progress)["right"]


def right_on_others(
    results: Results,
    key: str,
    model: nn.Module,
    others: Mapping[str, nn.Module],
    images: ImageSet,
    attack: Attack,
    *,
    seed: int = 0,
    progress: Reporter = SILENT,
) -> dict[str, Tensor]:
    """Tell which images others get right under an attack on one model, in the black box.

    Every image is driven as far as its loss rises, also one that the attacked model gets wrong.

    Returns:
        bool [N], by the others' names.
    """

    def tried(indices: Tensor) -> dict[str, Tensor]:
        labels = images.labels[indices]
        shown = attack.perturb(
            model, images.images[indices], labels, seed=seed, indices=indices, early_exit=False
        )
        return {name: correctness(other, shown, labels) for name, other in others.items()}

    return _in_parts(results, key, len(images), tried, progress)


def _in_parts(
    results: Results,
    key: str,
    count: int,
    tried: Callable[[Tensor], dict[str, Tensor]],
    progress: Reporter,
) -> dict[str, Tensor]:
    """Rows of all images, made part by part, so that an interrupted run goes on."""
    rows: dict[str, list[Tensor]] = {}
    with progress.task(key, total=count) as task:
        for start in range(0, count, _CHUNK):
            indices = torch.arange(start, min(start + _CHUNK, count))

            def measured(indices: Tensor = indices) -> dict[str, str]:
                return {name: packed(row) for name, row in tried(indices).items()}

            for name, text in results.value(f"{key}, from {start}", measured).items():
                rows.setdefault(name, []).append(unpacked(text, len(indices)))
            task.advance(len(indices))
    return {name: torch.cat(parts) for name, parts in rows.items()}


def packed(right: Tensor) -> str:
    """A bit an image, the first one first, as hexadecimal digits."""
    bits = "".join("01"[one] for one in right.tolist())
    return f"{int(bits, 2):0{-(-len(bits) // 4)}x}"


def unpacked(text: str, count: int) -> Tensor:
    """The images again, bool [N]."""
    return torch.tensor([one == "1" for one in f"{int(text, 16):0{count}b}"])


def verdict(gain: Figure, *, strictly: bool = True) -> str:
    """Say whether something is above something else, or not below it.

    Args:
        gain: the difference.
        strictly: above; else not below.

    Returns:
        "Holds" where the whole interval says so, "Holds in the mean alone", "Does not hold".
    """
    found, ends = figure_json(gain)["value"], figure_json(gain)["interval"]
    if not (found > 0 if strictly else found >= 0):
        return "Does not hold"
    low = found if ends is None else ends[0]
    sure = low > 0 if strictly else low >= 0
    return "Holds" if sure else "Holds in the mean alone"


def told(figure: Figure) -> str:
    """A number with its interval, for tables."""
    ends = figure.interval
    return f"{figure.value:.1f}" + ("" if ends is None else f" ({ends.low:.1f} to {ends.high:.1f})")


def points(gain: Figure) -> str:
    """A difference in points with its interval."""
    ends = figure_json(gain)["interval"]
    between = "" if ends is None else f" ({_signed(ends[0])} to {_signed(ends[1])})"
    return _signed(figure_json(gain)["value"]) + between


def _signed(value: float) -> str:
    return f"{value:+z.1f}".replace("-", "−")


def figure_json(figure: Figure) -> dict[str, Any]:
    """A figure as JSON values, without what adding up in float64 leaves of equal numbers."""
    ends = figure.interval
    return {
        "value": _rounded(figure.value),
        "interval": None if ends is None else [_rounded(ends.low), _rounded(ends.high)],
    }


def _rounded(value: float) -> float:
    return round(value, 9) + 0.0  # no −0
