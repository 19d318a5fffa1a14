"""Table 2 of CLAT: perturbations of one model, tried on the others.

Two families, of PGD-AT and of PGD-AT with CLAT each: the network with two seeds, or two networks.
In the black box each image is driven as far as its loss rises on the attacked model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import permutations, product
from typing import Any

import torch

from benchmarks.paper.clat_measuring import Model, attacked
from benchmarks.paper.clat_pages import epochs, write_clat_page
from benchmarks.paper.clat_training import adversarial, clat
from benchmarks.paper.pages import Gain, Table, draw, figure_json
from benchmarks.paper.study import Study
from rwsstore.attacks import Pgd
from rwsstore.canonical import key_part
from rwsstore.drawing import draw_heat_map, new_figure
from rwsstore.files import Results
from rwsstore.measure import Figure, mean_of
from rwsstore.measure.adversarial import attack_grid
from rwsstore.models import weights_fingerprint
from rwsstore.training.loop import images_digest

Matrix = Mapping[tuple[str, str], Figure]
"""Accuracy in percent by attacked model and by the one it is tried on, in the white box on the
diagonal."""


def models(study: Study) -> dict[str, Model]:
    """PGD-AT and CLAT of the first family, then of the second; by name."""
    settings = study.settings.clat
    found = {}
    for seed, other in ((0, None), (0, settings.second) if settings.second else (1, None)):
        name = settings.network if other is None else other.network
        family = f"{name}, seed {seed}" if settings.second is None else name
        recipe = settings.recipe
        if other is not None:
            recipe = recipe.model_copy(update={"k": other.k})
        begun = adversarial(study, seed, half=True, other=other)
        found[f"{family}: PGD-AT"] = Model.last(adversarial(study, seed, other=other))
        found[f"{family}: CLAT"] = Model.last(clat(study, seed, begun, recipe=recipe))
    return found


def measure(study: Study, subjects: Mapping[str, Model]) -> Matrix:
    """Attack every model and try the outcome on all of them."""
    settings = study.settings
    attack = Pgd(settings.clat.epsilon, steps=settings.clat.evaluation.pgd_steps)
    identity = {
        "weights": {
            name: weights_fingerprint(one.model.state_dict()) for name, one in subjects.items()
        },
        "images": images_digest(study.test),
        "attack": key_part(attack.name, asdict(attack)),
        "seed": settings.seed,
    }
    results = Results(study.work / f"{study.name}.transfer.json", identity)
    options = attacked(attack.epsilon, study, settings.clat.evaluation.resamples)
    networks = {name: one.model for name, one in subjects.items()}
    grid = attack_grid(
        networks, {"pgd": attack}, study.test, options, results=results, progress=study.progress
    )
    pairs = product(subjects, repeat=2)
    return {pair: grid.accuracy(pair, ("pgd", attack.epsilon)) for pair in pairs}


def run(study: Study) -> dict[str, Any]:
    """Train, attack, write the page and the picture; returns the headline figures."""
    subjects = models(study)
    matrix, names = measure(study, subjects), list(subjects)
    least, ours = margin(matrix, names), clat_as_victim(matrix, names)
    figure = new_figure(6.4, 4.8)
    axes = figure.add_subplot()
    values = torch.tensor([[matrix[one, other].value for other in names] for one in names])
    drawn = draw_heat_map(axes, values, names, names, "Blues", (0.0, 100.0), form=".1f", digits=8)
    axes.set_xlabel("tried on")
    axes.set_ylabel("made on")
    figure.colorbar(drawn, ax=axes, shrink=0.8, label="accuracy in %")
    write_clat_page(
        study,
        epochs=epochs(study.settings.clat.training),
        least=Gain(least),
        ours=Gain(ours),
        picture=draw(study, "Accuracy by attacked model and victim", figure),
        matrix=Table(
            ["made on", *names],
            [[made_on, *(matrix[made_on, tried_on] for tried_on in names)] for made_on in names],
            "Accuracy in %, tried on",
        ),
    )
    return {
        "images": len(study.test),
        "matrix": {
            made_on: {tried_on: figure_json(matrix[made_on, tried_on]) for tried_on in names}
            for made_on in names
        },
        "least_margin": figure_json(least),
        "clat_over_pgd_at": figure_json(ours),
    }


def margin(matrix: Matrix, names: Sequence[str]) -> Figure:
    """The least that the black box is above a model's own white box, over all pairs."""
    gaps = [
        matrix[made_on, tried_on] - matrix[tried_on, tried_on]
        for made_on, tried_on in permutations(names, 2)
    ]
    return min(gaps, key=lambda gap: gap.value)


def clat_as_victim(matrix: Matrix, names: Sequence[str]) -> Figure:
    """CLAT − PGD-AT as victims of both models of the other family, the mean over the families."""
    first, second = names[:2], names[2:]
    gains = [
        matrix[made_on, tuned] - matrix[made_on, plain]
        for (plain, tuned), others in ((first, second), (second, first))
        for made_on in others
    ]
    return mean_of(gains)
