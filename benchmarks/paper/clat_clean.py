"""Table 9 of CLAT: from a model that was never attacked in training.

    python -m benchmarks.paper.clat_clean --data NAME:PATH [--json]

CLAT from a cleanly trained model, against that model and against PGD-AT of as many epochs from it.
"""

from typing import Any

from benchmarks.paper.clat_measuring import Found, Model, compare, figure_json, points, verdict
from benchmarks.paper.clat_pages import about, accuracies, epochs, gains, recipe_words, selections
from benchmarks.paper.clat_training import (
    Trained,
    adversarial_recipe,
    base_options,
    clat,
    clean,
    trained,
)
from benchmarks.paper.pages import Picture, Table, write_blocks
from benchmarks.paper.study import Study, start

NAMES = {
    "clean": "clean training",
    "clat": "CLAT from there",
    "pgd_at": "PGD-AT from there, as many epochs",
}


def run(study: Study) -> dict[str, Any]:
    """Train, attack, write the page; returns the headline figures."""
    settings = study.settings.clat.clean
    begun = clean(study, 0)
    options = base_options(study, begun.last, settings.recipe)
    config, recipe = settings.finetuning, adversarial_recipe(study, "pgd_at")
    runs = {
        "clean": begun,
        "clat": clat(study, 0, begun, options, config=config),
        "pgd_at": trained(
            study, f"{begun.name}+pgd_at", recipe, begun.last, config.model_copy(update={"seed": 0})
        ),
    }
    found = compare(study, {arm: [Model.last(one)] for arm, one in runs.items()})
    _write(study, runs, found)
    return {
        "images": len(study.test),
        "arms": found.headlines(),
        "clat_over": {
            arm: {
                measure: figure_json(found.gain("clat", arm, measure))
                for measure in ("clean", "worst")
            }
            for arm in ("clean", "pgd_at")
        },
        "mean_share": runs["clat"].selected.mean_share,
    }


def _write(study: Study, runs: dict[str, Trained], found: Found) -> None:
    settings = study.settings.clat.clean
    raised, lost = (found.gain("clat", "clean", measure) for measure in ("worst", "clean"))
    against = found.gain("clat", "pgd_at", "worst")
    kept = found.gain("clat", "pgd_at", "clean")
    usual = base_options(study, runs["clean"].last, settings.recipe)
    blocks: list[str | Table | Picture] = [
        (f"{about(study)} The clean model: {epochs(settings.training)}. After it "
        f"{epochs(settings.finetuning)} of each. {recipe_words(usual, settings.finetuning)}"),
        (f"**{verdict(raised)}: CLAT makes a clean model more robust.** "
        f"{points(raised)} points in the worst case, for {points(lost)} clean. "
        f"**{verdict(against)}: more so than PGD-AT of as many epochs.** {points(against)} points "
        f"in the worst case, {points(kept)} clean."),
        accuracies(study, found, NAMES, "Accuracy in %"),
        gains(
            study, found, "clat", {arm: NAMES[arm] for arm in ("clean", "pgd_at")},
            "Points that CLAT is above",
        ),
        selections({NAMES["clat"]: [runs["clat"]]}, "What trained"),
    ]  # fmt: skip
    write_blocks(study, "CLAT from a clean model (Table 9)", blocks, corrupted=False)


def main() -> None:
    start("clat_clean", run, __doc__)


if __name__ == "__main__":
    main()
