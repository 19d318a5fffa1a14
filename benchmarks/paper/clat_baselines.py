"""Table 1 of CLAT: adversarial training of N epochs against N/2 of it and N/2 of CLAT.

Several seeds of PGD-AT; fast adversarial training and TRADES with one. Stopping early is the rival
that costs nothing: PGD-AT's best epoch on held-out images under attack is measured too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from benchmarks.paper.clat_measuring import Found, Model, compare
from benchmarks.paper.clat_pages import accuracies, epochs, gains, selections, write_clat_page
from benchmarks.paper.clat_training import Trained, adversarial, base_options, clat
from benchmarks.paper.pages import (
    COLOURS,
    PATCHED,
    Gain,
    Picture,
    Table,
    chart,
    draw,
    figure_json,
    holds,
    points,
)
from benchmarks.paper.study import Study

AIM, LARGEST_SHARE = 2.0, 0.10
"""Points of adversarial accuracy that are aimed at, and the share that may train."""

_METHODS = {"fast_at": "Fast-AT", "trades": "TRADES"}
_RIVALS = ("whole", "best", "half")


@dataclass(eq=False)
class Runs:
    """Every training of the table.

    Attributes:
        whole: PGD-AT, all epochs; one a seed, as the next two.
        half: PGD-AT, half of them.
        clat: CLAT from there.
        others: by method, with the first seed: all epochs, and CLAT from the half.
        published: CLAT as the paper has it, from the first seed's half; None where the settings'
            is that.
    """

    whole: list[Trained] = field(default_factory=list)
    half: list[Trained] = field(default_factory=list)
    clat: list[Trained] = field(default_factory=list)
    others: dict[str, tuple[Trained, Trained]] = field(default_factory=dict)
    published: Trained | None = None

    @property
    def mean_share(self) -> float:
        """Share of the parameters that CLAT trains, the mean over its steps and the seeds."""
        return fmean(run.selected.mean_share for run in self.clat)


def train(study: Study) -> Runs:
    """Train everything that was not trained before."""
    settings, runs = study.settings.clat, Runs()
    with study.progress.task("seeds", total=settings.seeds + len(settings.others)) as task:
        for seed in range(settings.seeds):
            runs.whole.append(adversarial(study, seed))
            runs.half.append(adversarial(study, seed, half=True))
            runs.clat.append(clat(study, seed, runs.half[-1]))
            task.advance()
        for method in settings.others:
            begun = adversarial(study, 0, half=True, method=method)
            fast = {"fast": True} if method == "fast_at" else {}
            tuned = clat(study, 0, begun, variant="clat-fast" if fast else "clat", **fast)
            runs.others[method] = adversarial(study, 0, method=method), tuned
            task.advance()
    # δ on features, and the cross-entropy of clean images alone.
    published = {"inner": "features", "perturbed": 0.0}
    usual = base_options(study, runs.half[0].last)
    if usual.model_copy(update=published) != usual:
        runs.published = clat(study, 0, runs.half[0], variant="published", **published)
    return runs


def measure(study: Study, runs: Runs) -> Found:
    """Attack everything that was not attacked before."""
    arms = {
        "whole": [Model.last(run) for run in runs.whole],
        "best": [Model.best(run) for run in runs.whole],
        "half": [Model.last(run) for run in runs.half],
        "clat": [Model.last(run) for run in runs.clat],
    }
    for method, (whole, tuned) in runs.others.items():
        arms |= {method: [Model.last(whole)], f"{method}+clat": [Model.last(tuned)]}
    if runs.published is not None:
        arms["published"] = [Model.last(runs.published)]
    return compare(study, arms)


def _names(study: Study, runs: Runs) -> dict[str, str]:
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
    found, names = measure(study, runs), _names(study, runs)
    count, usual = len(runs.clat), base_options(study, runs.half[0].last)
    by_seed = [
        found.grid.accuracy(("clat", seed), "worst") - found.grid.accuracy(("whole", seed), "worst")
        for seed in range(count)
    ]
    over = "one seed" if count == 1 else f"the mean over {count} seeds"
    main = {arm: names[arm] for arm in (*_RIVALS, "clat")}
    rivals = {arm: names[arm] for arm in _RIVALS}
    others = {arm: name for arm, name in names.items() if arm not in main}
    further = [accuracies(study, found, others, "Other trainings, one seed")] if others else []
    gain = found.gains("clat", _RIVALS)
    worst, clean = (gain["whole"][measure]["value"] for measure in ("worst", "clean"))
    write_clat_page(
        study,
        usual,
        epochs=epochs(study.settings.clat.training),
        worst=Gain(found.gain("clat", "whole", "worst")),
        aim=AIM,
        reached="reached" if worst >= AIM else "not reached",
        clean=Gain(found.gain("clat", "whole", "clean"), strictly=False),
        share=holds(runs.mean_share <= LARGEST_SHARE),
        largest=LARGEST_SHARE,
        mean_share=runs.mean_share,
        early=Gain(found.gain("clat", "best", "worst")),
        early_clean=Gain(found.gain("clat", "best", "clean")),
        others="".join(_helped(found, method) for method in runs.others),
        accuracies=accuracies(study, found, main, f"Accuracy in %, {over}"),
        gains=gains(study, found, "clat", rivals, "Points that CLAT is above the others"),
        by_seed=Table(
            [
                "seed", "PGD-AT: clean", "worst", "best epoch", "there: clean", "worst",
                "CLAT: clean", "worst", "CLAT − PGD-AT, worst",
            ],
            [
                [
                    str(seed), *_both(found, "whole", seed), runs.whole[seed].best_epoch,
                    *_both(found, "best", seed), *_both(found, "clat", seed), points(one),
                ]
                for seed, one in enumerate(by_seed)
            ],
            "Each seed",
        ),
        picture=_draw(study, runs),
        selections=selections({"CLAT": runs.clat}, "What CLAT trained"),
        further=further,
    )  # fmt: skip
    return {
        "images": len(study.test),
        "seeds": count,
        "arms": found.headlines(),
        "gain": gain,
        "gain_by_seed": [figure_json(one)["value"] for one in by_seed],
        "mean_share": runs.mean_share,
        "selections": [len(run.selected.selections) for run in runs.clat],
        "meets": {
            "adversarial": worst > 0,
            "aim": worst >= AIM,
            "clean": clean >= 0,
            "share": runs.mean_share <= LARGEST_SHARE,
        },
    }


def _both(found: Found, arm: str, seed: int) -> list[float]:
    """Clean accuracy and the worst case of one model."""
    return [found.grid.accuracy((arm, seed), measure).value for measure in ("clean", "worst")]


def _helped(found: Found, method: str) -> str:
    gain, above = (
        Gain(found.gain(f"{method}+clat", method, measure)) for measure in ("worst", "clean")
    )
    return (
        f" **{gain.verdict}: CLAT helps {_METHODS[method]}.** {gain} points in the worst case, "
        f"{above} clean."
    )


def _draw(study: Study, runs: Runs) -> Picture:
    figure, axes = chart(7.0, 3.6)
    looks: Mapping[str, tuple[list[Trained], int, str]] = {
        "PGD-AT": (runs.whole, 1, PATCHED),
        "PGD-AT, half": (runs.half, 1, COLOURS[2]),
        "CLAT from there": (runs.clat, study.settings.clat.half + 1, COLOURS[1]),
    }
    for name, (each, first, colour) in looks.items():
        for seed, one in enumerate(each):
            heights = [record.accuracy for record in one.history]
            places = range(first, first + len(heights))
            label = None if seed else name
            axes.plot(places, heights, color=colour, linewidth=1.2, alpha=0.8, label=label)
    axes.set_xlabel("epoch")
    axes.set_ylabel("accuracy under PGD-10, held-out, in %")
    axes.legend(frameon=False, fontsize=8)
    return draw(study, "Accuracy on held-out images under PGD-10, epoch by epoch", figure)
