"""Selective against plain retraining, and what is left of both under attack."""

__all__ = ["ARMS", "Retrained", "gain", "measure_retrained", "retrain"]

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.paper.study import Study
from rwsstore.attacks import Attack, Fgsm, Pgd
from rwsstore.data import unit_images
from rwsstore.measure import Figure, Resampling, bootstrap, correctness, mean_of
from rwsstore.training import CleanRecipe, Recipe, SelectiveRecipe

ARMS = {
    "clean": "clean model, not retrained",
    "plain": "plain retraining, all layers",
    "selective": "selective: robust and antifragile layers",
    "fragile": "fragile layers instead",
}
"""Names of the models by key."""

MEASURES = ("ta", "fgsm", "pgd10")


@dataclass(frozen=True)
class Retrained:
    """One arm, the mean over its seeds.

    Attributes:
        key: of `ARMS`.
        runs: how many.
        figures: accuracy in percent by measure, with draws over the images.
        changed: share of the parameters that training changed, the mean over the runs.
    """

    key: str
    runs: int
    figures: Mapping[str, Figure]
    changed: float


def measure_retrained(study: Study) -> dict[str, Retrained]:
    """Train every arm and attack it; all figures have the same draws."""
    settings = study.settings.filtering
    models: dict[str, list[nn.Module]] = {"clean": [study.clean]}
    models["plain"] = [retrain(study, "plain", seed) for seed in range(settings.seeds)]
    models["selective"] = [retrain(study, "selective", seed) for seed in range(settings.seeds)]
    models["fragile"] = [retrain(study, "fragile", 0)]
    right = {
        (key, measure, seed): row
        for key, arm in models.items()
        for seed, model in enumerate(arm)
        for measure, row in _measured(study, f"{key}-{seed}", model).items()
    }
    resampling = Resampling(resamples=settings.resamples, seed=study.settings.seed)
    figures = bootstrap(right, resampling)
    return {
        key: Retrained(
            key,
            len(arm),
            {
                measure: mean_of([figures[key, measure, seed] for seed in range(len(arm))])
                for measure in MEASURES
            },
            sum(_changed(study.clean, model) for model in arm) / len(arm),
        )
        for key, arm in models.items()
    }


def gain(found: Mapping[str, Retrained], measure: str, arm: str = "selective") -> Figure:
    """An arm − plain retraining, in points; means over the seeds."""
    return found[arm].figures[measure] - found["plain"].figures[measure]


def retrain(study: Study, arm: str, seed: int) -> nn.Module:
    """Go on training the clean model in one of the ways of `ARMS`."""
    settings = study.settings.filtering
    config = settings.training.model_copy(update={"seed": seed})
    recipe: Recipe = CleanRecipe()
    if arm != "plain":
        kinds = ("fragile",) if arm == "fragile" else settings.recipe.train
        recipe = SelectiveRecipe(settings.recipe.model_copy(update={"train": kinds}))
    name = f"filtering-{arm}-{seed}"
    return study.trained(name, recipe, study.clean, config)


def _measured(study: Study, name: str, model: nn.Module) -> dict[str, Tensor]:
    """Which test images are right, as they are and under attack; bool [N] each."""
    count = min(study.settings.filtering.attack_images, len(study.test))
    images = study.test.limit(count, study.settings.seed)
    epsilon = study.settings.filtering.epsilon
    attacks: dict[str, Attack | None] = {
        "ta": None, "fgsm": Fgsm(epsilon), "pgd10": Pgd(epsilon, steps=10),
    }  # fmt: skip
    found = {}
    for measure, attack in attacks.items():

        def right(attack: Attack | None = attack) -> str:
            shown = unit_images(images.images)
            if attack is not None:
                shown = attack.perturb(
                    model, shown, images.labels, seed=study.settings.seed, progress=study.progress
                )
            row = correctness(model, shown, images.labels).tolist()
            return "".join("1" if one else "0" for one in row)

        text = study.results.value(f"retrained/{name}/{measure}", right)
        found[measure] = torch.tensor([one == "1" for one in text])
    return found


def _changed(before: nn.Module, after: nn.Module) -> float:
    other = after.state_dict()
    moved = sum(
        parameter.numel()
        for name, parameter in before.named_parameters()
        if not torch.equal(parameter, other[name])
    )
    return moved / sum(parameter.numel() for parameter in before.parameters())
