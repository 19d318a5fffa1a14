"""Table 4 of CLAT: layers selected again and again, against one selection that stays.

    python -m benchmarks.paper.clat_dynamic --data NAME:PATH [--json]

Beside PGD-AT of as many epochs, also PGD-AT that starts where CLAT does, with CLAT's schedule: what
a second warm-up gives alone. That row is our own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.paper.clat_measuring import Found, Model, compare, figure_json, points, verdict
from benchmarks.paper.clat_pages import about, accuracies, epochs, gains, recipe_words, selections
from benchmarks.paper.clat_training import (
    Trained,
    adversarial,
    adversarial_recipe,
    base_options,
    clat,
    trained,
)
from benchmarks.paper.pages import Picture, Table, write_blocks
from benchmarks.paper.study import Study, start

_FIXED = {"every": None, "every_steps": None}


def run(study: Study) -> dict[str, Any]:
    """Train, attack, write the page; returns the headline figures."""
    runs = train(study)
    found = compare(study, {arm: [Model.last(run) for run in each] for arm, each in runs.items()})
    _write(study, runs, found)
    return {
        "images": len(study.test),
        "seeds": len(runs["dynamic"]),
        "arms": found.headlines(),
        "dynamic_over": {
            arm: {
                measure: figure_json(found.gain("dynamic", arm, measure))
                for measure in ("clean", "worst")
            }
            for arm in ("fixed", "pgd_at", "again")
        },
    }


def train(study: Study) -> dict[str, list[Trained]]:
    """The runs of every seed, by arm."""
    settings = study.settings.clat
    runs: dict[str, list[Trained]] = {arm: [] for arm in names(study)}
    for seed in range(settings.ablation_seeds):
        begun = adversarial(study, seed, half=True)
        fixed = base_options(study, begun.last).model_copy(update=_FIXED)
        config = settings.finetuning.model_copy(update={"seed": seed})
        recipe = adversarial_recipe(study, "pgd_at")
        runs["dynamic"].append(clat(study, seed, begun))
        runs["fixed"].append(clat(study, seed, begun, fixed, variant="fixed"))
        runs["pgd_at"].append(adversarial(study, seed))
        runs["again"].append(trained(study, f"{begun.name}+pgd_at", recipe, begun.last, config))
    return runs


def names(study: Study) -> dict[str, str]:
    """The arms as rows."""
    settings = study.settings.clat
    return {
        "dynamic": "CLAT, selected again",
        "fixed": "CLAT, the first selection stays",
        "pgd_at": f"PGD-AT, {epochs(settings.training)}",
        "again": f"PGD-AT, {settings.half}, + PGD-AT, {settings.finetuning.epochs}",
    }


def _write(study: Study, runs: Mapping[str, Sequence[Trained]], found: Found) -> None:
    labels, settings = names(study), study.settings.clat
    usual = base_options(study, runs["dynamic"][0].last)
    fixed, baseline, again = (
        found.gain("dynamic", arm, "worst") for arm in ("fixed", "pgd_at", "again")
    )
    below = found.gain("pgd_at", "fixed", "worst")
    rivals = {arm: name for arm, name in labels.items() if arm != "dynamic"}
    blocks: list[str | Table | Picture] = [
        f"{about(study)} {recipe_words(usual, settings.finetuning)}",
        (
            f"**{verdict(fixed)}: selecting again is better than one selection.** "
            f"{points(fixed)} points in the worst case. **{verdict(baseline)}: it is better than "
            f"PGD-AT.** {points(baseline)} points. **{verdict(below)}: a fixed selection is worse "
            f"than PGD-AT.** PGD-AT is {points(below)} points against it. Against PGD-AT that "
            f"starts where CLAT does, with its schedule, CLAT is {points(again)} points."
        ),
        accuracies(study, found, labels, "Accuracy in %"),
        gains(study, found, "dynamic", rivals, "Points that selecting again is above"),
        selections({labels[arm]: runs[arm] for arm in ("dynamic", "fixed")}, "What trained"),
    ]
    write_blocks(study, "CLAT: dynamic against fixed layers (Table 4)", blocks, corrupted=False)


def main() -> None:
    start("clat_dynamic", run, __doc__)


if __name__ == "__main__":
    main()
