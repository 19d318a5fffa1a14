"""Selective against plain retraining, and what is left of both under attack."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from benchmarks.paper.clat_measuring import Model, stood
from benchmarks.paper.study import Study
from rwsstore.attacks import Fgsm, Pgd
from rwsstore.measure import Figure, Grid, Resampling
from rwsstore.training import CleanRecipe, Recipe, SelectiveRecipe

ARMS = {
    "clean": "clean model, not retrained",
    "plain": "plain retraining, all layers",
    "selective": "selective: robust and antifragile layers",
    "fragile": "fragile layers instead",
}
"""Names of the models by key."""

MEASURES = {"ta": "TA", "fgsm": "FGSM", "pgd10": "PGD-10"}


@dataclass(frozen=True)
class Retrained:
    """One arm, the mean over its seeds.

    Attributes:
        runs: how many.
        figures: accuracy in percent by measure, with draws over the images.
        changed: share of the parameters that training changed, the mean over the runs.
    """

    runs: int
    figures: Mapping[str, Figure]
    changed: float


def measure_retrained(study: Study) -> dict[str, Retrained]:
    """Train every arm and attack it; all figures have the same draws."""
    settings = study.settings.filtering
    runs = {"clean": 0, "plain": settings.seeds, "selective": settings.seeds, "fragile": 1}
    models = {arm: [retrain(study, arm, seed) for seed in range(n)] for arm, n in runs.items()}
    models["clean"] = [study.clean]
    resampling = Resampling(resamples=settings.resamples, seed=study.settings.seed)
    images = study.test.limit(min(settings.attack_images, len(study.test)), study.settings.seed)
    epsilon = settings.epsilon
    attacks = {"fgsm": Fgsm(epsilon), "pgd10": Pgd(epsilon, steps=10)}
    grid: Grid[tuple[str, int], str] = Grid(resampling)
    for arm, each in models.items():
        for seed, model in enumerate(each):
            subject = Model(f"{arm}-{seed}", model)
            rows = stood(study, study.results, subject, images, attacks)
            rows["ta"] = rows["clean"]
            for measure in MEASURES:
                grid.put((arm, seed), measure, rows[measure])
    found = {}
    for arm, each in models.items():
        cells = [(arm, seed) for seed in range(len(each))]
        figures = {measure: grid.mean(cells, [measure]) for measure in MEASURES}
        changed = sum(_changed(study.clean, model) for model in each) / len(each)
        found[arm] = Retrained(len(each), figures, changed)
    return found


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
    return study.trained(f"filtering-{arm}-{seed}", recipe, study.clean, config)


def _changed(before: nn.Module, after: nn.Module) -> float:
    other = after.state_dict()
    moved = sum(
        parameter.numel()
        for name, parameter in before.named_parameters()
        if not torch.equal(parameter, other[name])
    )
    return moved / sum(parameter.numel() for parameter in before.parameters())
