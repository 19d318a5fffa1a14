"""Table 5 of CLAT: critical layers against random ones.

    python -m benchmarks.paper.clat_layers --data NAME:PATH [--json]

Both start from the same adversarially trained model and choose as many layers again as often.
"""

from typing import Any

from benchmarks.paper.clat_measuring import Found, Model, compare, figure_json, points, verdict
from benchmarks.paper.clat_pages import about, accuracies, gains, recipe_words, selections
from benchmarks.paper.clat_training import Trained, adversarial, base_options, clat
from benchmarks.paper.pages import Picture, Table, write_blocks
from benchmarks.paper.study import Study, start

NAMES = {
    "start": "PGD-AT that both start from",
    "critical": "CLAT, critical layers",
    "random": "CLAT, random layers",
}


def run(study: Study) -> dict[str, Any]:
    """Train, attack, write the page; returns the headline figures."""
    runs: dict[str, list[Trained]] = {arm: [] for arm in NAMES}
    for seed in range(study.settings.clat.ablation_seeds):
        begun = adversarial(study, seed, half=True)
        options = base_options(study, begun.last).model_copy(update={"select": "random"})
        runs["start"].append(begun)
        runs["critical"].append(clat(study, seed, begun))
        runs["random"].append(clat(study, seed, begun, options, variant="random"))
    found = compare(study, {arm: [Model.last(run) for run in each] for arm, each in runs.items()})
    _write(study, runs, found)
    return {
        "images": len(study.test),
        "seeds": len(runs["start"]),
        "arms": found.headlines(),
        "critical_over_random": {
            measure: figure_json(found.gain("critical", "random", measure))
            for measure in ("clean", "worst")
        },
        "mean_share": {
            arm: [run.selected.mean_share for run in runs[arm]] for arm in ("critical", "random")
        },
    }


def _write(study: Study, runs: dict[str, list[Trained]], found: Found) -> None:
    worst, clean = (found.gain("critical", "random", name) for name in ("worst", "clean"))
    usual = base_options(study, runs["start"][0].last)
    over = {arm: NAMES[arm] for arm in ("random", "start")}
    blocks: list[str | Table | Picture] = [
        f"{about(study)} {recipe_words(usual, study.settings.clat.finetuning)}",
        (
            f"**{verdict(worst)}: critical layers raise adversarial accuracy more than random "
            f"ones.** The difference is {points(worst)} points in the worst case. "
            f"**{verdict(clean)}: clean accuracy too.** It is {points(clean)} points."
        ),
        accuracies(study, found, NAMES, "Accuracy in %"),
        gains(study, found, "critical", over, "Points that the critical layers are above"),
        selections({NAMES[arm]: runs[arm] for arm in ("critical", "random")}, "What trained"),
    ]
    write_blocks(study, "CLAT: critical against random layers (Table 5)", blocks, corrupted=False)


def main() -> None:
    start("clat_layers", run, __doc__)


if __name__ == "__main__":
    main()
