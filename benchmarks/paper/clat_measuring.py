"""Which test images models get right, clean and under attack, and what follows from that."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn

from benchmarks.paper.clat_training import Trained
from benchmarks.paper.pages import figure_json
from benchmarks.paper.study import Study
from rwsstore.attacks import Apgd, Attack, Pgd
from rwsstore.canonical import key_part
from rwsstore.data import ImageSet
from rwsstore.files import Results
from rwsstore.measure import Figure, Grid, Resampling
from rwsstore.measure.adversarial import (
    NO_ATTACK,
    WORST_CASE,
    AdversarialOptions,
    attack_grid,
)
from rwsstore.models import weights_fingerprint
from rwsstore.training.loop import images_digest

MEASURES = ("clean", "pgd", "apgd", "worst")
"""Accuracy on clean images, under PGD, under APGD-CE, and of what all three leave right."""


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
            name: key_part(attack.name, asdict(attack)) for name, attack in attacks.items()
        },
        "seed": study.settings.seed,
    }
    results = Results(study.work / f"{model.name}.measured.json", identity)
    return stood(study, results, model, study.test, attacks)


def attacks_of(epsilon: float, pgd_steps: int, apgd_steps: int) -> dict[str, Attack]:
    """PGD and APGD-CE, both in L∞."""
    return {"pgd": Pgd(epsilon, steps=pgd_steps), "apgd": Apgd(epsilon, steps=apgd_steps)}


def stood(
    study: Study, results: Results, model: Model, images: ImageSet, attacks: Mapping[str, Attack]
) -> dict[str, Tensor]:
    """Which images a model gets right "clean", under each attack, and in all cases: "worst"."""
    name, epsilon = model.name, next(iter(attacks.values())).epsilon
    options = attacked(epsilon, study)
    grid = attack_grid(
        {name: model.model}, attacks, images, options, results=results, progress=study.progress
    )
    rows = {attack: grid.right((name, name), [(attack, epsilon)]) for attack in attacks}
    worst = grid.right((name, name), [(WORST_CASE, epsilon)])
    return {"clean": grid.right(("", name), [NO_ATTACK]), **rows, "worst": worst}


def attacked(epsilon: float, study: Study, resamples: int = 0) -> AdversarialOptions:
    """One budget, with the study's seed."""
    return AdversarialOptions((epsilon,), seed=study.settings.seed, resamples=resamples)
