"""Which test images models get right, clean and under attack, and what follows from that."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.paper.clat_training import Trained
from benchmarks.paper.pages import figure_json
from benchmarks.paper.study import Study
from rwsstore.attacks import Apgd, Attack, Pgd
from rwsstore.canonical import key_part
from rwsstore.data import ImageSet, unit_images
from rwsstore.files import Results
from rwsstore.measure import Figure, Grid, Resampling, correctness
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
        grid: by arm and seed, and by measure.
        seeds: how many each arm has.
    """

    grid: Grid[tuple[str, int], str]
    seeds: Mapping[str, int]

    def figure(self, arm: str, measure: str) -> Figure:
        """The mean over an arm's seeds."""
        return self.grid.mean([(arm, seed) for seed in range(self.seeds[arm])], [measure])

    def gain(self, arm: str, over: str, measure: str) -> Figure:
        """Points that one arm is above another, in the mean over the seeds."""
        return self.figure(arm, measure) - self.figure(over, measure)

    def gains(self, arm: str, over: Iterable[str]) -> dict[str, Any]:
        """Points that an arm is above others, clean and in the worst case, as JSON values."""
        return {
            other: {
                measure: figure_json(self.gain(arm, other, measure))
                for measure in ("clean", "worst")
            }
            for other in over
        }

    def headlines(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return {
            arm: {measure: figure_json(self.figure(arm, measure)) for measure in MEASURES}
            for arm in self.seeds
        }


def compare(study: Study, arms: Arms) -> Found:
    """Measure every model, and draw the images again for all of them at once."""
    settings = study.settings
    resampling = Resampling(settings.clat.evaluation.resamples, seed=settings.seed)
    grid: Grid[tuple[str, int], str] = Grid(resampling)
    with study.progress.task("models measured", total=sum(map(len, arms.values()))) as task:
        for arm, models in arms.items():
            for seed, model in enumerate(models):
                for measure, row in rows_of(study, model).items():
                    share = grid.put((arm, seed), measure, row)
                task.advance(note=f"{arm}, {model.name}: {share:.1f} % under attack")
    return Found(grid, {arm: len(models) for arm, models in arms.items()})


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
    return stood(study, results, "", model.model, study.test, attacks)


def attacks_of(epsilon: float, pgd_steps: int, apgd_steps: int) -> dict[str, Attack | None]:
    """No attack, PGD and APGD-CE, all in L∞."""
    return {
        "clean": None,
        "pgd": Pgd(epsilon, steps=pgd_steps),
        "apgd": Apgd(epsilon, steps=apgd_steps),
    }


def stood(
    study: Study,
    results: Results,
    prefix: str,
    model: nn.Module,
    images: ImageSet,
    attacks: Mapping[str, Attack | None],
) -> dict[str, Tensor]:
    """Which images a model gets right under each attack, and under every one: "worst"."""
    rows = {
        name: right_under(
            results, f"{prefix}{name}", model, images, attack, seed=study.settings.seed,
            progress=study.progress,
        )
        for name, attack in attacks.items()
    }  # fmt: skip
    return with_worst(rows)


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
    """Tell which images a model gets right under an attack on itself, in the white box; bool [N].

    Args:
        results: of an earlier run, and of this one.
        key: names the measurement.
        model: that is attacked.
        images: that are changed.
        attack: None for none; it leaves an image alone once the model gets it wrong.
        seed: of random starts.
        progress: counts images.
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
