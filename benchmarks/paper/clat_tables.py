"""Tables 1, 2, 4, 5 and 9 and Figure 3 of CLAT.

Each is a few arms of training, one model a seed; a sentence or two on their differences; and the
same tables. Only the black box, Table 2, tries perturbations of one model on the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import permutations, product
from statistics import fmean
from typing import Any

import torch

from benchmarks.paper import clat, pages
from benchmarks.paper.clat import Compared, Trained, adversarial
from benchmarks.paper.pages import COLOURS, LINE, PATCHED, Gain, counted, figure_json, table
from benchmarks.paper.study import Study
from rwsstore.attacks import Pgd
from rwsstore.canonical import key_part
from rwsstore.drawing import draw_heat_map, new_figure
from rwsstore.errors import ConfigError
from rwsstore.files import Results
from rwsstore.measure import Figure, mean_of
from rwsstore.measure.adversarial import AdversarialOptions, attack_grid
from rwsstore.models import main_path_convolutions, weights_fingerprint
from rwsstore.training.loop import images_digest

AIM, LARGEST_SHARE = 2.0, 0.10
"""Points of adversarial accuracy that are aimed at, and the share that may train."""

_METHODS = {"fast_at": "Fast-AT", "trades": "TRADES"}

Matrix = Mapping[tuple[str, str], Figure]
"""Accuracy in percent by attacked model and by the one it is tried on: both, the white box."""


def run_baselines(study: Study) -> dict[str, Any]:
    """Table 1: adversarial training of N epochs against N/2 of it and N/2 of CLAT.

    Several seeds of PGD-AT; the other methods with one. Stopping early is the rival that costs
    nothing: PGD-AT's best epoch on held-out images under attack is measured too.
    """
    runs, names = _baselines(study)
    found, tuned = Compared(study, runs, names), runs["clat"]
    usual, count = clat.base_options(study, runs["half"][0].last), len(tuned)
    mean_share = fmean(run.selected.mean_share for run in tuned)
    rivals = ("whole", "best", "half")
    others = [arm for arm in names if arm not in (*rivals, "clat")]
    gain = found.gains("clat", rivals)
    worst, above = (gain["whole"][measure]["value"] for measure in ("worst", "clean"))
    differences = [
        found.grid.accuracy(("clat", seed), "worst") - found.grid.accuracy(("whole", seed), "worst")
        for seed in range(count)
    ]
    over = "one seed" if count == 1 else f"the mean over {count} seeds"
    clat.write_page(
        study,
        usual,
        found=found,
        aim=AIM,
        reached="reached" if worst >= AIM else "not reached",
        share=pages.holds(mean_share <= LARGEST_SHARE),
        largest=LARGEST_SHARE,
        mean_share=mean_share,
        others="".join(_helped(found, method) for method in study.settings.clat.others),
        accuracies=found.accuracies(f"Accuracy in %, {over}", (*rivals, "clat")),
        gains=found.above("clat", rivals, "Points that CLAT is above the others"),
        by_seed=_by_seed(found, differences),
        picture=_draw_epochs(study, runs),
        selections=clat.selections({"CLAT": tuned}, "What CLAT trained"),
        further=[found.accuracies("Other trainings, one seed", others)] if others else [],
    )
    return {
        **found.headlines(),
        "seeds": count,
        "gain": gain,
        "gain_by_seed": [figure_json(one)["value"] for one in differences],
        "mean_share": mean_share,
        "selections": [len(run.selected.selections) for run in tuned],
        "meets": {
            "adversarial": worst > 0,
            "aim": worst >= AIM,
            "clean": above >= 0,
            "share": mean_share <= LARGEST_SHARE,
        },
    }


def _baselines(study: Study) -> tuple[dict[str, list[Trained]], dict[str, str]]:
    """The trainings of Table 1, and what their rows are called."""
    settings = study.settings.clat
    n, half, tuned = settings.training.epochs, settings.half, settings.finetuning.epochs
    names = {
        "whole": f"PGD-AT, {counted(n, 'epoch')}",
        "best": "PGD-AT, its best epoch on held-out images",
        "half": f"PGD-AT, {counted(half, 'epoch')}",
        "clat": f"PGD-AT, {half}, + CLAT, {tuned}",
    }
    whole = [adversarial(study, seed) for seed in range(settings.seeds)]
    begun = [adversarial(study, seed, half=True) for seed in range(settings.seeds)]
    tuned_runs = [clat.finetuned(study, seed, run) for seed, run in enumerate(begun)]
    early = [run.stopped_early for run in whole]
    runs = {"whole": whole, "best": early, "half": begun, "clat": tuned_runs}
    for method in settings.others:
        start = adversarial(study, 0, half=True, method=method)
        fast: dict[str, Any] = {"fast": True} if method == "fast_at" else {}
        variant, word = ("clat-fast", " (fast)") if fast else ("clat", "")
        names[method] = f"{_METHODS[method]}, {counted(n, 'epoch')}"
        runs[method] = [adversarial(study, 0, method=method)]
        names[f"{method}+clat"] = f"{_METHODS[method]}, {half}, + CLAT{word}, {tuned}"
        runs[f"{method}+clat"] = [clat.finetuned(study, 0, start, variant=variant, **fast)]
    # As in the paper: δ on features, and the cross-entropy of clean images alone.
    published: dict[str, Any] = {"inner": "features", "perturbed": 0.0}
    usual = clat.base_options(study, begun[0].last)
    if usual.model_copy(update=published) != usual:
        names["published"] = f"PGD-AT, {half}, + CLAT as published, {tuned}"
        runs["published"] = [clat.finetuned(study, 0, begun[0], variant="published", **published)]
    return runs, names


def _helped(found: Compared, method: str) -> str:
    worst, clean = (found[f"{method}+clat over {method}, {on}"] for on in ("worst", "clean"))
    return (
        f" **{worst.verdict}: CLAT helps {_METHODS[method]}.** {worst} points in the worst case, "
        f"{clean} clean."
    )


def _by_seed(found: Compared, gains: Sequence[Figure]) -> str:
    rows = []
    for seed, gain in enumerate(gains):
        whole, best, tuned = (
            [found.grid.accuracy((arm, seed), measure).value for measure in ("clean", "worst")]
            for arm in ("whole", "best", "clat")
        )
        epoch = found.runs["whole"][seed].best_epoch
        rows.append([str(seed), *whole, epoch, *best, *tuned, pages.points(gain)])
    header = [
        "seed", "PGD-AT: clean", "worst", "best epoch", "there: clean", "worst", "CLAT: clean",
        "worst", "CLAT − PGD-AT, worst",
    ]  # fmt: skip
    return table(header, rows, "Each seed")


def _draw_epochs(study: Study, runs: clat.Runs) -> str:
    figure, axes = pages.chart(7.0, 3.6)
    for arm, name, first, colour in (
        ("whole", "PGD-AT", 1, PATCHED),
        ("half", "PGD-AT, half", 1, COLOURS[2]),
        ("clat", "CLAT from there", study.settings.clat.half + 1, COLOURS[1]),
    ):
        for seed, one in enumerate(runs[arm]):
            heights = [record.accuracy for record in one.history]
            places = range(first, first + len(heights))
            label = None if seed else name
            axes.plot(places, heights, color=colour, linewidth=1.2, alpha=0.8, label=label)
    pages.label_axes(axes, "epoch", "accuracy under PGD-10, held-out, in %")
    return pages.draw(study, "Accuracy on held-out images under PGD-10, epoch by epoch", figure)


def run_layers(study: Study) -> dict[str, Any]:
    """Table 5: critical layers against random ones, from the same start, as many, as often."""
    names = {
        "start": "PGD-AT that both start from",
        "critical": "CLAT, critical layers",
        "random": "CLAT, random layers",
    }
    runs: dict[str, list[Trained]] = {arm: [] for arm in names}
    for seed in range(study.settings.clat.ablation_seeds):
        begun = adversarial(study, seed, half=True)
        runs["start"].append(begun)
        runs["critical"].append(clat.finetuned(study, seed, begun))
        other = clat.finetuned(study, seed, begun, variant="random", select="random")
        runs["random"].append(other)
    found, arms, others = Compared(study, runs, names), ("critical", "random"), ("random", "start")
    clat.write_page(
        study,
        clat.base_options(study, runs["start"][0].last),
        found=found,
        accuracies=found.accuracies("Accuracy in %"),
        gains=found.above("critical", others, "Points that the critical layers are above"),
        selections=clat.selections({names[arm]: runs[arm] for arm in arms}, "What trained"),
    )
    return {
        **found.headlines(),
        "seeds": len(runs["start"]),
        "critical_over_random": found.gains("critical", ["random"])["random"],
        "mean_share": {arm: [run.selected.mean_share for run in runs[arm]] for arm in arms},
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
        "pgd_at": f"PGD-AT, {counted(settings.training.epochs, 'epoch')}",
        "again": f"PGD-AT, {settings.half}, + PGD-AT, {settings.finetuning.epochs}",
    }
    runs: dict[str, list[Trained]] = {arm: [] for arm in names}
    for seed in range(settings.ablation_seeds):
        begun = adversarial(study, seed, half=True)
        fixed = clat.finetuned(study, seed, begun, variant="fixed", every=None, every_steps=None)
        runs["dynamic"].append(clat.finetuned(study, seed, begun))
        runs["fixed"].append(fixed)
        runs["pgd_at"].append(adversarial(study, seed))
        runs["again"].append(clat.pgd_at_again(study, seed, begun, settings.finetuning))
    found, rivals = Compared(study, runs, names), ("fixed", "pgd_at", "again")
    tuned = {names[arm]: runs[arm] for arm in ("dynamic", "fixed")}
    clat.write_page(
        study,
        clat.base_options(study, runs["dynamic"][0].last),
        found=found,
        accuracies=found.accuracies("Accuracy in %"),
        gains=found.above("dynamic", rivals, "Points that selecting again is above"),
        selections=clat.selections(tuned, "What trained"),
    )
    over = found.gains("dynamic", rivals)
    return {**found.headlines(), "seeds": len(runs["dynamic"]), "dynamic_over": over}


def run_clean(study: Study) -> dict[str, Any]:
    """Table 9: from a model that was never attacked in training, against PGD-AT from there."""
    settings, begun = study.settings.clat.clean, clat.clean(study, 0)
    tuned = clat.finetuned(study, 0, begun, recipe=settings.recipe, config=settings.finetuning)
    again = clat.pgd_at_again(study, 0, begun, settings.finetuning)
    names = {
        "clean": "clean training",
        "clat": "CLAT from there",
        "pgd_at": "PGD-AT from there, as many epochs",
    }
    found = Compared(study, {"clean": [begun], "clat": [tuned], "pgd_at": [again]}, names)
    over = ("clean", "pgd_at")
    clat.write_page(
        study,
        clat.base_options(study, begun.last, settings.recipe),
        found=found,
        accuracies=found.accuracies("Accuracy in %"),
        gains=found.above("clat", over, "Points that CLAT is above"),
        selections=clat.selections({names["clat"]: [tuned]}, "What trained"),
    )
    return {
        **found.headlines(),
        "clat_over": found.gains("clat", over),
        "mean_share": tuned.selected.mean_share,
    }


def run_count(study: Study) -> dict[str, Any]:
    """Figure 3: CLAT with ever more layers, up to all; with all, nothing is left to select."""
    settings, begun = study.settings.clat, adversarial(study, 0, half=True)
    layers, usual = len(main_path_convolutions(begun.last)), clat.base_options(study, begun.last)
    if settings.counts[-1] >= layers:
        raise ConfigError(
            f"clat.counts has {settings.counts[-1]}; the network has {layers} layers, and all of "
            "them are added: expected numbers below that"
        )
    tuned = {}
    for k in (*settings.counts, layers):
        tuned[k] = clat.finetuned(study, 0, begun, variant="clat" if k == usual.k else f"k{k}", k=k)
    shares = {str(k): one.selected.mean_share for k, one in tuned.items()}
    names = {k: f"k = {k}, {share:.1%}" for k, share in shares.items()}
    names[str(layers)] = f"k = {layers}, all, {shares[str(layers)]:.1%}"
    names["start"] = f"PGD-AT, {counted(settings.half, 'epoch')}: where CLAT starts"
    names["pgd_at"] = f"PGD-AT, {counted(settings.training.epochs, 'epoch')}"
    runs = {str(k): [one] for k, one in tuned.items()}
    runs |= {"start": [begun], "pgd_at": [adversarial(study, 0)]}
    found = Compared(study, runs, names)
    # The best on the held-out images, after the last epoch.
    few = max(settings.counts, key=lambda k: tuned[k].history[-1].accuracy)
    gain = found.gain(str(few), str(layers), "worst")
    clat.write_page(
        study,
        usual,
        few=few,
        layers=layers,
        gain=Gain(gain),
        above=Gain(found.gain(str(few), "pgd_at", "worst")),
        picture=_draw_counts(study, list(tuned), found),
        accuracies=found.accuracies("Accuracy in %; share of the parameters beside k"),
    )
    chosen = {"mean_share": shares, "chosen": few, "chosen_over_all": figure_json(gain)}
    return {**found.headlines(), **chosen}


def _draw_counts(study: Study, counts: Sequence[int], found: Compared) -> str:
    figure, axes = pages.chart(6.4, 3.6)
    for measure, colour, name in (("worst", PATCHED, "worst case"), ("clean", COLOURS[1], "clean")):
        figures = [found.figure(str(k), measure) for k in counts]
        reach = [
            (one.value - ends.low, ends.high - one.value)
            for one in figures
            if (ends := one.interval) is not None
        ]
        axes.errorbar(
            counts, [one.value for one in figures], yerr=list(zip(*reach, strict=True)),
            fmt="o-", ms=4, capsize=2, color=colour, label=name,
        )  # fmt: skip
        baseline = found.figure("pgd_at", measure).value
        label = "PGD-AT, as many epochs" if measure == "worst" else None
        axes.axhline(baseline, color=LINE, linewidth=0.8, linestyle=":", label=label)
    pages.log_places(axes, counts)
    axes.set_ylim(0)
    pages.label_axes(axes, "layers that train at a time")
    return pages.draw(study, "Worst case over the number of layers", figure)


def run_blackbox(study: Study) -> dict[str, Any]:
    """Table 2: perturbations of one model tried on the others: PGD-AT and CLAT, of two seeds.

    In the black box each image is driven as far as its loss rises on the attacked model.
    """
    runs = families(study)
    matrix, names = _transfer(study, runs), list(runs)
    least, ours = margin(matrix, names), clat_as_victim(matrix, names)
    figure = new_figure(6.4, 4.8)
    axes = figure.add_subplot()
    values = torch.tensor([[matrix[one, other].value for other in names] for one in names])
    drawn = draw_heat_map(axes, values, names, names, "Blues", (0.0, 100.0), form=".1f", digits=8)
    axes.set_xlabel("tried on")
    axes.set_ylabel("made on")
    figure.colorbar(drawn, ax=axes, shrink=0.8, label="accuracy in %")
    rows = [[made_on, *(matrix[made_on, tried_on] for tried_on in names)] for made_on in names]
    clat.write_page(
        study,
        least=Gain(least),
        ours=Gain(ours),
        picture=pages.draw(study, "Accuracy by attacked model and victim", figure),
        matrix=table(["made on", *names], rows, "Accuracy in %, tried on"),
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


def families(study: Study) -> dict[str, Trained]:
    """PGD-AT and CLAT with the first seed, then with the second; by name."""
    found = {}
    for seed in (0, 1):
        family = f"{study.settings.clat.network}, seed {seed}"
        begun = adversarial(study, seed, half=True)
        found[f"{family}: PGD-AT"] = adversarial(study, seed)
        found[f"{family}: CLAT"] = clat.finetuned(study, seed, begun)
    return found


def _transfer(study: Study, runs: Mapping[str, Trained]) -> Matrix:
    settings, seed = study.settings.clat, study.settings.seed
    attack = Pgd(settings.epsilon, steps=settings.evaluation.pgd_steps)
    models = {name: run.last for name, run in runs.items()}
    identity = {
        "weights": {name: weights_fingerprint(one.state_dict()) for name, one in models.items()},
        "images": images_digest(study.test),
        "attack": key_part(attack.name, asdict(attack)),
        "seed": seed,
    }
    results = Results(study.work / f"{study.name}.transfer.json", identity)
    options = AdversarialOptions(
        (attack.epsilon,), seed=seed, resamples=settings.evaluation.resamples
    )
    grid = attack_grid(
        models, {"pgd": attack}, study.test, options, results=results, progress=study.progress
    )
    pairs = product(models, models)
    return {pair: grid.accuracy(pair, ("pgd", attack.epsilon)) for pair in pairs}


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
