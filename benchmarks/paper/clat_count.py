"""Figure 3 of CLAT: how many layers to train.

    python -m benchmarks.paper.clat_count --data NAME:PATH [--json]

The same run of CLAT with ever more layers, up to all; with all, nothing is left to select.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.paper.clat_measuring import Found, Model, compare, figure_json, points, verdict
from benchmarks.paper.clat_pages import about, accuracies, epochs, recipe_words
from benchmarks.paper.clat_training import Trained, adversarial, base_options, clat
from benchmarks.paper.pages import (
    COLOURS,
    LINE,
    PATCHED,
    Picture,
    Table,
    new_figure,
    save_figure,
    tidy,
    write_blocks,
)
from benchmarks.paper.study import Study, start
from rwsstore.errors import ConfigError
from rwsstore.measure import Figure
from rwsstore.models import main_path_convolutions


def run(study: Study) -> dict[str, Any]:
    """Train, attack, write the page and the picture; returns the headline figures."""
    begun = adversarial(study, 0, half=True)
    runs = train(study, begun)
    arms = {str(k): [Model.last(one)] for k, one in runs.items()}
    arms |= {"start": [Model.last(begun)], "pgd_at": [Model.last(adversarial(study, 0))]}
    found = compare(study, arms)
    few = chosen(runs)
    _write(study, runs, found, few)
    return {
        "images": len(study.test),
        "arms": found.headlines(),
        "mean_share": {str(k): one.selected.mean_share for k, one in runs.items()},
        "chosen": few,
        "chosen_over_all": figure_json(found.gain(str(few), str(max(runs)), "worst")),
    }


def train(study: Study, begun: Trained) -> dict[int, Trained]:
    """The runs by k, rising, all layers last.

    Raises:
        ConfigError: a k of the settings is not below the number of layers.
    """
    layers, usual = len(main_path_convolutions(begun.last)), base_options(study, begun.last)
    counts = study.settings.clat.counts
    if counts[-1] >= layers:
        raise ConfigError(
            f"clat.counts has {counts[-1]}; the network has {layers} layers, and all of them are "
            "added: expected numbers below that"
        )
    runs = {}
    for k in (*counts, layers):
        variant = "clat" if k == usual.k else f"k{k}"
        options = usual.model_copy(update={"k": k})
        runs[k] = clat(study, 0, begun, options, variant=variant)
    return runs


def chosen(runs: Mapping[int, Trained]) -> int:
    """The k below all that is best on the held-out images, after the last epoch."""
    few = sorted(runs)[:-1]
    return max(few, key=lambda k: runs[k].history[-1].accuracy)


def _write(study: Study, runs: Mapping[int, Trained], found: Found, few: int) -> None:
    layers, usual = max(runs), base_options(study, runs[few].last)
    names = {
        str(k): f"k = {k}{', all' if k == layers else ''}, {one.selected.mean_share:.1%}"
        for k, one in runs.items()
    }
    settings = study.settings.clat
    names |= {
        "start": f"PGD-AT, {epochs(settings.half)}: where CLAT starts",
        "pgd_at": f"PGD-AT, {epochs(settings.training)}",
    }
    gain, above = (found.gain(str(few), other, "worst") for other in (str(layers), "pgd_at"))
    blocks: list[str | Table | Picture] = [
        (
            f"{about(study)} {recipe_words(usual, settings.finetuning)} k is what varies; the one "
            f"that is best on the held-out images under PGD-10 is {few}."
        ),
        (
            f"**{verdict(gain)}: a few layers are better than all.** k = {few} is {points(gain)} "
            f"points in the worst case against all {layers}, and {points(above)} against PGD-AT."
        ),
        Picture(_draw(study, runs, found), "Worst case over the number of layers"),
        accuracies(study, found, names, "Accuracy in %; share of the parameters beside k"),
    ]
    write_blocks(study, "CLAT: how many layers (Figure 3)", blocks, corrupted=False)


def _draw(study: Study, runs: Mapping[int, Trained], found: Found) -> Path:
    figure = new_figure(6.4, 3.6)
    axes = tidy(figure.add_subplot())
    for measure, colour, name in (("worst", PATCHED, "worst case"), ("clean", COLOURS[1], "clean")):
        figures = [found.figures[str(k)][measure] for k in runs]
        heights = [one.value for one in figures]
        axes.errorbar(
            list(runs), heights, yerr=_reach(figures), fmt="o-", ms=4, capsize=2, color=colour,
            label=name,
        )  # fmt: skip
        baseline = found.figures["pgd_at"][measure].value
        label = "PGD-AT, as many epochs" if measure == "worst" else None
        axes.axhline(baseline, color=LINE, linewidth=0.8, linestyle=":", label=label)
    axes.set_xscale("log")
    axes.set_xticks(list(runs), [str(k) for k in runs])
    axes.minorticks_off()
    axes.set_xlabel("layers that train at a time")
    axes.set_ylabel("accuracy in %")
    axes.set_ylim(0)
    axes.legend(frameon=False, fontsize=8)
    return save_figure(study, figure)


def _reach(figures: Sequence[Figure]) -> list[list[float]]:
    """How far the intervals go, down and up."""
    ends = [(one.value, one.interval) for one in figures]
    down = [value - interval.low if interval else 0.0 for value, interval in ends]
    return [down, [interval.high - value if interval else 0.0 for value, interval in ends]]


def main() -> None:
    start("clat_count", run, __doc__)


if __name__ == "__main__":
    main()
