"""Table 1 of CLAT: adversarial training of N epochs against N/2 of it and N/2 of CLAT.

    python -m benchmarks.paper.clat_baselines --data NAME:PATH [--json]

Several seeds of PGD-AT; fast adversarial training and TRADES with one. Stopping early is the rival
that costs nothing: PGD-AT's best epoch on held-out images under attack is measured too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.paper.clat_measuring import (
    Found,
    Model,
    compare,
    figure_json,
    points,
    verdict,
)
from benchmarks.paper.clat_pages import (
    about,
    accuracies,
    epochs,
    gains,
    recipe_words,
    selections,
)
from benchmarks.paper.clat_training import Trained, adversarial, base_options, clat
from benchmarks.paper.pages import (
    COLOURS,
    PATCHED,
    Picture,
    Table,
    new_figure,
    save_figure,
    tidy,
    write_blocks,
)
from benchmarks.paper.study import Study, start

AIM, LARGEST_SHARE = 2.0, 0.10
"""Points of adversarial accuracy that are aimed at, and the share that may train."""

_METHODS = {"fast_at": "Fast-AT", "trades": "TRADES"}


@dataclass(frozen=True, eq=False)
class Runs:
    """Every training of the table.

    Attributes:
        whole: PGD-AT, all epochs; one a seed, as the next two.
        half: PGD-AT, half of them.
        clat: CLAT from there.
        others: by method, its own three, with the first seed.
        published: CLAT as the paper has it, from the first seed's half; None where the settings'
            is that.
    """

    whole: Sequence[Trained]
    half: Sequence[Trained]
    clat: Sequence[Trained]
    others: Mapping[str, tuple[Trained, Trained, Trained]]
    published: Trained | None

    @property
    def mean_share(self) -> float:
        """Share of the parameters that CLAT trains, the mean over its steps and the seeds."""
        return fmean(run.selected.mean_share for run in self.clat)


def train(study: Study) -> Runs:
    """Train everything that was not trained before."""
    settings = study.settings.clat
    seeds = range(settings.seeds)
    whole, half, tuned = [], [], []
    with study.progress.task("seeds", total=len(seeds) + len(settings.others)) as task:
        for seed in seeds:
            whole.append(adversarial(study, seed))
            half.append(adversarial(study, seed, half=True))
            tuned.append(clat(study, seed, half[-1]))
            task.advance()
        others = {}
        for method in settings.others:
            begun = adversarial(study, 0, half=True, method=method)
            fast = {"fast": True} if method == "fast_at" else {}
            options = base_options(study, begun.last).model_copy(update=fast)
            variant = "clat-fast" if fast else "clat"
            after = clat(study, 0, begun, options, variant=variant)
            others[method] = (adversarial(study, 0, method=method), begun, after)
            task.advance()
    return Runs(whole, half, tuned, others, _published(study, half[0]))


def _published(study: Study, begun: Trained) -> Trained | None:
    """CLAT with δ on features, and the cross-entropy of clean images alone."""
    usual = base_options(study, begun.last)
    options = usual.model_copy(update={"inner": "features", "perturbed": 0.0})
    return None if options == usual else clat(study, 0, begun, options, variant="published")


def measure(study: Study, runs: Runs) -> Found:
    """Attack everything that was not attacked before."""
    arms = {
        "whole": [Model.last(run) for run in runs.whole],
        "best": [Model.best(run) for run in runs.whole],
        "half": [Model.last(run) for run in runs.half],
        "clat": [Model.last(run) for run in runs.clat],
    }
    for method, (whole, _, tuned) in runs.others.items():
        arms |= {method: [Model.last(whole)], f"{method}+clat": [Model.last(tuned)]}
    if runs.published is not None:
        arms["published"] = [Model.last(runs.published)]
    return compare(study, arms)


def names(study: Study, runs: Runs) -> dict[str, str]:
    """The arms as rows."""
    settings = study.settings.clat
    n, half, tuned = settings.training.epochs, settings.half, settings.finetuning.epochs
    found = {
        "whole": f"PGD-AT, {epochs(n)}",
        "best": "PGD-AT, its best epoch on held-out images",
        "half": f"PGD-AT, {epochs(half)}",
        "clat": f"PGD-AT, {half}, + CLAT, {tuned}",
    }
    for method in settings.others:
        fast = " (fast)" if method == "fast_at" else ""
        found[method] = f"{_METHODS[method]}, {epochs(n)}"
        found[f"{method}+clat"] = f"{_METHODS[method]}, {half}, + CLAT{fast}, {tuned}"
    if runs.published is not None:
        found["published"] = f"PGD-AT, {half}, + CLAT as published, {tuned}"
    return found


def run(study: Study) -> dict[str, Any]:
    """Train, attack, write the page and the picture; returns the headline figures."""
    runs = train(study)
    found = measure(study, runs)
    headlines = _headlines(study, runs, found)
    _write(study, runs, found)
    return headlines


def _headlines(study: Study, runs: Runs, found: Found) -> dict[str, Any]:
    gain = {
        over: {
            measure: figure_json(found.gain("clat", over, measure))
            for measure in ("clean", "worst")
        }
        for over in ("whole", "best", "half")
    }
    worst, clean = (gain["whole"][measure]["value"] for measure in ("worst", "clean"))
    return {
        "images": len(study.test),
        "seeds": len(runs.clat),
        "arms": found.headlines(),
        "gain": gain,
        "gain_by_seed": [
            figure_json(ours - theirs)["value"]
            for ours, theirs in zip(
                found.seeds["clat"]["worst"], found.seeds["whole"]["worst"], strict=True
            )
        ],
        "mean_share": runs.mean_share,
        "selections": [len(run.selected.selections) for run in runs.clat],
        "meets": {
            "adversarial": worst > 0,
            "aim": worst >= AIM,
            "clean": clean >= 0,
            "share": runs.mean_share <= LARGEST_SHARE,
        },
    }


def _write(study: Study, runs: Runs, found: Found) -> None:
    labels = names(study, runs)
    main = {arm: labels[arm] for arm in ("whole", "best", "half", "clat")}
    rivals = {arm: labels[arm] for arm in ("whole", "best", "half")}
    usual = base_options(study, runs.half[0].last)
    count = len(runs.clat)
    over = "one seed" if count == 1 else f"the mean over {count} seeds"
    blocks: list[str | Table | Picture] = [
        f"{about(study)} {recipe_words(usual, study.settings.clat.finetuning)}",
        _sentences(study, runs, found),
        accuracies(study, found, main, f"Accuracy in %, {over}"),
        gains(study, found, "clat", rivals, "Points that CLAT is above the others"),
        by_seed(runs, found),
        Picture(_draw(study, runs), "Accuracy on held-out images under PGD-10, epoch by epoch"),
        selections({"CLAT": runs.clat}, "What CLAT trained"),
    ]
    further = {arm: name for arm, name in labels.items() if arm not in main}
    if further:
        blocks.append(accuracies(study, found, further, "Other trainings, one seed"))
    write_blocks(study, "CLAT against adversarial training (Table 1)", blocks, corrupted=False)


def by_seed(runs: Runs, found: Found) -> Table:
    """One row a seed: clean and worst of both, the best epoch, and the gain."""
    rows = []
    for seed, whole in enumerate(runs.whole):

        def figure(arm: str, measure: str, seed: int = seed) -> str:
            return f"{found.seeds[arm][measure][seed].value:.1f}"

        gain = found.seeds["clat"]["worst"][seed] - found.seeds["whole"]["worst"][seed]
        rows.append(
            [
                str(seed),
                *(figure("whole", measure) for measure in ("clean", "worst")),
                str(whole.best_epoch),
                *(figure("best", measure) for measure in ("clean", "worst")),
                *(figure("clat", measure) for measure in ("clean", "worst")),
                points(gain),
            ]
        )
    header = [
        "seed", "PGD-AT: clean", "worst", "best epoch", "there: clean", "worst", "CLAT: clean",
        "worst", "CLAT − PGD-AT, worst",
    ]  # fmt: skip
    return Table(header, rows, title="Each seed")


def _sentences(study: Study, runs: Runs, found: Found) -> str:
    settings = study.settings.clat
    worst, clean = (found.gain("clat", "whole", measure) for measure in ("worst", "clean"))
    early = found.gain("clat", "best", "worst")
    aim = "reached" if figure_json(worst)["value"] >= AIM else "not reached"
    share = "Holds" if runs.mean_share <= LARGEST_SHARE else "Does not hold"
    said = [
        (
            f"**{verdict(worst)}: CLAT raises adversarial accuracy.** Against PGD-AT of "
            f"{epochs(settings.training)} it is {points(worst)} points in the worst case; the aim "
            f"of {AIM:g} points is {aim}."
        ),
        (
            f"**{verdict(clean, strictly=False)}: clean accuracy is not below the baseline's.** "
            f"It is {points(clean)} points."
        ),
        (
            f"**{share}: at most {LARGEST_SHARE:.0%} of the parameters train.** "
            f"{runs.mean_share:.1%} did in the mean."
        ),
        (
            f"**{verdict(early)}: CLAT is more than stopping early.** Against PGD-AT's best epoch "
            f"on held-out images it is {points(early)} points in the worst case, "
            f"{points(found.gain('clat', 'best', 'clean'))} clean."
        ),
    ]
    for method in runs.others:
        gain = found.gain(f"{method}+clat", method, "worst")
        above = found.gain(f"{method}+clat", method, "clean")
        said.append(
            f"**{verdict(gain)}: CLAT helps {_METHODS[method]}.** {points(gain)} points in the "
            f"worst case, {points(above)} clean."
        )
    return " ".join(said)


def _draw(study: Study, runs: Runs) -> Path:
    figure = new_figure(7.0, 3.6)
    axes = tidy(figure.add_subplot())
    half = study.settings.clat.half
    for seed in range(len(runs.clat)):
        for run, first, colour, name in (
            (runs.whole[seed], 1, PATCHED, "PGD-AT"),
            (runs.half[seed], 1, COLOURS[2], "PGD-AT, half"),
            (runs.clat[seed], half + 1, COLOURS[1], "CLAT from there"),
        ):
            heights = [record.accuracy for record in run.history]
            places = range(first, first + len(heights))
            label = name if not seed else None
            axes.plot(places, heights, color=colour, linewidth=1.2, alpha=0.8, label=label)
    axes.set_xlabel("epoch")
    axes.set_ylabel("accuracy under PGD-10, held-out, in %")
    axes.legend(frameon=False, fontsize=8)
    return save_figure(study, figure)


def main() -> None:
    start("clat_baselines", run, __doc__)


if __name__ == "__main__":
    main()
