"""Tables 4, 5 and 9 and Figure 3 of CLAT: what a part of it does, against leaving it out.

Each is a few arms of training, one model a seed; a sentence or two on their differences; and the
same tables.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.paper.clat_measuring import Found, Model, compare
from benchmarks.paper.clat_pages import accuracies, epochs, gains, selections, write_clat_page
from benchmarks.paper.clat_training import (
    Trained,
    adversarial,
    base_options,
    clat,
    clean,
    pgd_at_again,
)
from benchmarks.paper.pages import (
    COLOURS,
    LINE,
    PATCHED,
    Gain,
    Picture,
    chart,
    draw,
    figure_json,
)
from benchmarks.paper.study import Study
from rwsstore.errors import ConfigError
from rwsstore.models import main_path_convolutions

Runs = Mapping[str, Sequence[Trained]]
"""By arm, one a seed."""


def _compare(study: Study, runs: Runs) -> Found:
    return compare(study, {arm: [Model.last(run) for run in each] for arm, each in runs.items()})


def run_layers(study: Study) -> dict[str, Any]:
    """Table 5: critical layers against random ones, from the same start, as many, as often."""
    runs: dict[str, list[Trained]] = {"start": [], "critical": [], "random": []}
    for seed in range(study.settings.clat.ablation_seeds):
        begun = adversarial(study, seed, half=True)
        runs["start"].append(begun)
        runs["critical"].append(clat(study, seed, begun))
        runs["random"].append(clat(study, seed, begun, variant="random", select="random"))
    found = _compare(study, runs)
    usual = base_options(study, runs["start"][0].last)
    names = {
        "start": "PGD-AT that both start from",
        "critical": "CLAT, critical layers",
        "random": "CLAT, random layers",
    }
    over = {arm: names[arm] for arm in ("random", "start")}
    write_clat_page(
        study,
        usual,
        worst=Gain(found.gain("critical", "random", "worst")),
        clean=Gain(found.gain("critical", "random", "clean")),
        accuracies=accuracies(study, found, names, "Accuracy in %"),
        gains=gains(study, found, "critical", over, "Points that the critical layers are above"),
        selections=selections(
            {names[arm]: runs[arm] for arm in ("critical", "random")}, "What trained"
        ),
    )
    return {
        "images": len(study.test),
        "seeds": len(runs["start"]),
        "arms": found.headlines(),
        "critical_over_random": found.gains("critical", ["random"])["random"],
        "mean_share": {
            arm: [run.selected.mean_share for run in runs[arm]] for arm in ("critical", "random")
        },
    }


def run_dynamic(study: Study) -> dict[str, Any]:
    """Table 4: layers selected again and again, against one selection that stays.

    Beside PGD-AT of as many epochs, also PGD-AT that starts where CLAT does, with CLAT's schedule:
    what a second warm-up gives alone. That row is our own.
    """
    settings = study.settings.clat
    names = {
        "dynamic": "CLAT, selected again",
        "fixed": "CLAT, the first selection stays",
        "pgd_at": f"PGD-AT, {epochs(settings.training)}",
        "again": f"PGD-AT, {settings.half}, + PGD-AT, {settings.finetuning.epochs}",
    }
    runs: dict[str, list[Trained]] = {arm: [] for arm in names}
    for seed in range(settings.ablation_seeds):
        begun = adversarial(study, seed, half=True)
        fixed = clat(study, seed, begun, variant="fixed", every=None, every_steps=None)
        runs["dynamic"].append(clat(study, seed, begun))
        runs["fixed"].append(fixed)
        runs["pgd_at"].append(adversarial(study, seed))
        runs["again"].append(pgd_at_again(study, seed, begun, settings.finetuning))
    found = _compare(study, runs)
    usual = base_options(study, runs["dynamic"][0].last)
    rivals = {arm: name for arm, name in names.items() if arm != "dynamic"}
    write_clat_page(
        study,
        usual,
        below=Gain(found.gain("pgd_at", "fixed", "worst")),
        accuracies=accuracies(study, found, names, "Accuracy in %"),
        gains=gains(study, found, "dynamic", rivals, "Points that selecting again is above"),
        selections=selections(
            {names[arm]: runs[arm] for arm in ("dynamic", "fixed")}, "What trained"
        ),
        **{arm: Gain(found.gain("dynamic", arm, "worst")) for arm in rivals},
    )
    return {
        "images": len(study.test),
        "seeds": len(runs["dynamic"]),
        "arms": found.headlines(),
        "dynamic_over": found.gains("dynamic", rivals),
    }


def run_clean(study: Study) -> dict[str, Any]:
    """Table 9: from a model that was never attacked in training, against PGD-AT from there."""
    settings, begun = study.settings.clat.clean, clean(study, 0)
    tuned = clat(study, 0, begun, recipe=settings.recipe, config=settings.finetuning)
    runs = {
        "clean": [begun],
        "clat": [tuned],
        "pgd_at": [pgd_at_again(study, 0, begun, settings.finetuning)],
    }
    names = {
        "clean": "clean training",
        "clat": "CLAT from there",
        "pgd_at": "PGD-AT from there, as many epochs",
    }
    found = _compare(study, runs)
    usual = base_options(study, begun.last, settings.recipe)
    over = {arm: names[arm] for arm in ("clean", "pgd_at")}
    write_clat_page(
        study,
        usual,
        trained=epochs(settings.training),
        tuned=epochs(settings.finetuning),
        raised=Gain(found.gain("clat", "clean", "worst")),
        lost=Gain(found.gain("clat", "clean", "clean")),
        against=Gain(found.gain("clat", "pgd_at", "worst")),
        kept=Gain(found.gain("clat", "pgd_at", "clean")),
        accuracies=accuracies(study, found, names, "Accuracy in %"),
        gains=gains(study, found, "clat", over, "Points that CLAT is above"),
        selections=selections({names["clat"]: runs["clat"]}, "What trained"),
    )
    return {
        "images": len(study.test),
        "arms": found.headlines(),
        "clat_over": found.gains("clat", over),
        "mean_share": tuned.selected.mean_share,
    }


def run_count(study: Study) -> dict[str, Any]:
    """Figure 3: CLAT with ever more layers, up to all; with all, nothing is left to select.

    Raises:
        ConfigError: a k of the settings is not below the number of layers.
    """
    settings, begun = study.settings.clat, adversarial(study, 0, half=True)
    layers, usual = len(main_path_convolutions(begun.last)), base_options(study, begun.last)
    if settings.counts[-1] >= layers:
        raise ConfigError(
            f"clat.counts has {settings.counts[-1]}; the network has {layers} layers, and all of "
            "them are added: expected numbers below that"
        )
    tuned = {}
    for k in (*settings.counts, layers):
        tuned[k] = clat(study, 0, begun, variant="clat" if k == usual.k else f"k{k}", k=k)
    shares = {str(k): one.selected.mean_share for k, one in tuned.items()}
    runs = {str(k): [one] for k, one in tuned.items()}
    found = _compare(study, {**runs, "start": [begun], "pgd_at": [adversarial(study, 0)]})
    # The best on the held-out images, after the last epoch.
    few = max(settings.counts, key=lambda k: tuned[k].history[-1].accuracy)
    names = {
        k: f"k = {k}{', all' if k == str(layers) else ''}, {share:.1%}"
        for k, share in shares.items()
    }
    names["start"] = f"PGD-AT, {epochs(settings.half)}: where CLAT starts"
    names["pgd_at"] = f"PGD-AT, {epochs(settings.training)}"
    gain = found.gain(str(few), str(layers), "worst")
    write_clat_page(
        study,
        base_options(study, tuned[few].last),
        few=few,
        layers=layers,
        gain=Gain(gain),
        above=Gain(found.gain(str(few), "pgd_at", "worst")),
        picture=_draw_counts(study, list(tuned), found),
        accuracies=accuracies(
            study, found, names, "Accuracy in %; share of the parameters beside k"
        ),
    )
    return {
        "images": len(study.test),
        "arms": found.headlines(),
        "mean_share": shares,
        "chosen": few,
        "chosen_over_all": figure_json(gain),
    }


def _draw_counts(study: Study, counts: Sequence[int], found: Found) -> Picture:
    figure, axes = chart(6.4, 3.6)
    for measure, colour, name in (("worst", PATCHED, "worst case"), ("clean", COLOURS[1], "clean")):
        figures = [found.figure(str(k), measure) for k in counts]
        heights, intervals = [one.value for one in figures], [one.interval for one in figures]
        ends = [(one.low, one.high) for one in intervals if one is not None]
        reach = [
            (height - low, high - height) for height, (low, high) in zip(heights, ends, strict=True)
        ]
        axes.errorbar(
            counts, heights, yerr=list(zip(*reach, strict=True)), fmt="o-", ms=4, capsize=2,
            color=colour, label=name,
        )  # fmt: skip
        baseline = found.figure("pgd_at", measure).value
        label = "PGD-AT, as many epochs" if measure == "worst" else None
        axes.axhline(baseline, color=LINE, linewidth=0.8, linestyle=":", label=label)
    axes.set_xscale("log")
    axes.set_xticks(counts, [str(k) for k in counts])
    axes.minorticks_off()
    axes.set_xlabel("layers that train at a time")
    axes.set_ylabel("accuracy in %")
    axes.set_ylim(0)
    axes.legend(frameon=False, fontsize=8)
    return draw(study, "Worst case over the number of layers", figure)
