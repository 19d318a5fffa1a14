"""Synaptic filtering: maps, the paper's claims, and selective against plain retraining.

Pravin et al., "Fragility, Robustness and Antifragility in Deep Learning", 2023. With --work-bundle
the bundled model is filtered before folding too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import torch
from torch import nn

from benchmarks.paper import clat, findings
from benchmarks.paper.findings import Finding
from benchmarks.paper.pages import draw, table, told, write_page
from benchmarks.paper.parameter_corruption import networks
from benchmarks.paper.study import Study, faster
from rwsstore.attacks import Fgsm, Pgd
from rwsstore.data import ImageSet, load_images
from rwsstore.measure import Figure, Grid, Resampling, with_batch_statistics
from rwsstore.models import fold_batchnorm, short_names
from rwsstore.probes import filtering
from rwsstore.probes.filtering import FilteringReport
from rwsstore.training import CleanRecipe, Recipe, SelectiveRecipe, hold_out

ARMS = {
    "clean": "clean model, not retrained",
    "plain": "plain retraining, all layers",
    "selective": "selective: robust and antifragile layers",
    "fragile": "fragile layers instead",
}
"""What the rows of retraining are called."""

MEASURES = {"ta": "TA", "fgsm": "FGSM", "pgd10": "PGD-10"}

_DIGITS = "digits"
_RETAINED = 1.0
"""Points of accuracy above chance that BatchNorm must make a difference of."""


Maps = Mapping[str, FilteringReport]
"""By name; all but "bundled", the model's own, have every second of its thresholds; "coarse"
is the same with these, "unfolded" the model before folding, where it is at hand. "digits", "half":
its network trained on digits, on half of the classes. "resnet": another with its BatchNorm;
"resnet_folded": without; "resnet_batch": normalizing by each batch's statistics."""


@dataclass(frozen=True)
class Retrained:
    """One arm, means over its runs: accuracy in percent by measure, share of weights changed."""

    runs: int
    figures: Mapping[str, Figure]
    changed: float


def run(study: Study) -> dict[str, Any]:
    settings, maps = study.settings.filtering, measure_maps(study)
    found, bundled, resnet = measure_retrained(study), maps["bundled"], maps["resnet"]
    asked = {
        "kinds": findings.kinds_of_layers(bundled),
        "targets": findings.targets_of_attacks(bundled),
        "data_sets": findings.same_on_other_data(
            maps["coarse"], {"digits": maps["digits"], "half of the classes": maps["half"]}
        ),
        "networks": findings.same_in_another_network(maps["coarse"], resnet),
        "batch_norm": _batch_norm(maps),
        "retraining": _retraining(found),
    }
    write_page(
        study,
        images=bundled.curves.images,
        coarse=(settings.thresholds + 1) // 2,
        findings=table(
            ["finding", "our numbers say", "because"],
            [[one.claim, one.verdict, one.reason] for one in asked.values()],
            "The paper's findings",
        ),
        map=draw(study, "Scores of the bundled model", filtering.draw_map(bundled), "map"),
        curves=draw(study, "Accuracy over thresholds", filtering.draw_curves(bundled), "curves"),
        layers=_layers(bundled, "The bundled model's layers"),
        retrained=table(
            ["", *MEASURES.values(), "runs", "parameters changed"],
            [
                [ARMS[arm], *one.figures.values(), one.runs, f"{one.changed:.0%}"]
                for arm, one in found.items()
            ],
            "Retraining: accuracy in %",
        ),
        resnet_map=draw(
            study, "Scores of the ResNet-18", filtering.draw_map(resnet), "resnet18-map"
        ),
        resnet_layers=_layers(resnet, "The ResNet-18's layers"),
        across=_across(maps),
    )
    return {
        "kinds": bundled.counts,
        "mean_s2": {layer.layer: (s2 := layer.mean["s2"]) and s2.value for layer in bundled.scores},
        "retrained": {
            arm: {name: figure.value for name, figure in one.figures.items()}
            for arm, one in found.items()
        },
        "gain": {
            arm: {
                name: {
                    "points": (one := gain(found, name, arm)).value,
                    "interval": None if one.interval is None else one.interval.model_dump(),
                }
                for name in MEASURES
            }
            for arm in ("selective", "fragile")
        },
        "findings": {key: {"verdict": f.verdict, "because": f.reason} for key, f in asked.items()},
    }


def measure_maps(study: Study) -> Maps:
    settings, size = study.settings.filtering, study.clean.spec.input_size
    coarse, resnet = (settings.thresholds + 1) // 2, networks(study)["resnet18"]
    digits = (
        *hold_out(load_images(_DIGITS, "train", size=size), seed=study.settings.seed),
        load_images(_DIGITS, "test", size=size),
    )
    half = tuple(map(_first_classes, (study.train, study.validation, study.test)))

    def made(
        name: str, model: nn.Module, images: ImageSet = study.test, *, seed: int = 0,
        thresholds: int = coarse, filters: tuple[str, ...] = settings.recipe.filters,
    ) -> FilteringReport:  # fmt: skip
        shown = study.some(images, settings.images)
        options = filtering.FilteringOptions(
            epsilon=settings.epsilon, filters=filters, thresholds=thresholds
        )
        curves = filtering.measure_curves(
            faster(model), shown.images, shown.labels, options,
            results=study.results, prefix=f"{name}/", progress=study.progress,
        )  # fmt: skip
        resampling = Resampling(resamples=settings.resamples, seed=study.settings.seed + seed)
        scoring = filtering.ScoringOptions(
            resampling=resampling, tolerance=settings.recipe.tolerance
        )
        return FilteringReport.of(curves, scoring, dataset=shown.name)

    bundled = made("bundled", study.clean, thresholds=settings.thresholds)
    thinned = _thinned(bundled.curves)
    maps = {
        "bundled": bundled,
        "coarse": FilteringReport.of(thinned, bundled.options, dataset=study.test.name),
        "digits": made("digits", _trained(study, "digits", *digits), digits[2], seed=1),
        "half": made("half", _trained(study, "half", *half), half[2], seed=2),
        "resnet": made("resnet18", resnet),
        "resnet_folded": made("resnet18-folded", fold_batchnorm(resnet)),
    }
    if study.unfolded is not None:
        maps["unfolded"] = made("unfolded", study.unfolded)
    batch = with_batch_statistics(resnet).eval()
    return {**maps, "resnet_batch": made("resnet18-batch", batch, filters=("h1",))}


def _first_classes(images: ImageSet) -> ImageSet:
    """The first half of the classes, two at least."""
    count = max(2, len(images.classes) // 2)
    chosen = images.take((images.labels < count).nonzero().flatten())
    return replace(chosen, classes=images.classes[:count], name=f"{images.name}, {count} classes")


def _trained(
    study: Study, name: str, train: ImageSet, validation: ImageSet, *_test: ImageSet
) -> nn.Module:
    """The bundled model's network, from the start, on other images; folded."""
    begin = study.untrained(num_classes=len(train.classes), classes=train.classes)
    config = getattr(study.settings.filtering, name)
    other = replace(study, train=train, validation=validation)
    return fold_batchnorm(other.trained(f"filtering-{name}", CleanRecipe(), begin, config))


def _thinned(curves: filtering.FilteringCurves) -> filtering.FilteringCurves:
    options = replace(curves.options, thresholds=(curves.options.thresholds + 1) // 2)
    names = ("thresholds", "remaining", "clean", "attacked")
    each = [
        replace(curve, **{name: getattr(curve, name)[::2] for name in names})
        for curve in curves.curves
    ]
    return replace(curves, options=options, curves=tuple(each))


def measure_retrained(study: Study) -> dict[str, Retrained]:
    """Train every arm and attack it; all figures have the same draws."""
    settings, seeds = study.settings.filtering, study.settings.filtering.seeds
    runs = {"plain": seeds, "selective": seeds, "fragile": 1}
    models: dict[str, list[nn.Module]] = {"clean": [study.clean]}
    models |= {arm: [retrain(study, arm, seed) for seed in range(n)] for arm, n in runs.items()}
    images = study.some(study.test, settings.attack_images)
    attacks = {"fgsm": Fgsm(settings.epsilon), "pgd10": Pgd(settings.epsilon, steps=10)}
    resampling = Resampling(resamples=settings.resamples, seed=study.settings.seed)
    grid: Grid[tuple[str, int], str] = Grid(resampling)
    for arm, each in models.items():
        for seed, model in enumerate(each):
            name = f"{arm}-{seed}"
            rows = clat.stood(study, study.results, name, model, images, attacks)
            for measure in MEASURES:
                grid.put((arm, seed), measure, rows["clean" if measure == "ta" else measure])
    found = {}
    for arm, each in models.items():
        cells = [(arm, seed) for seed in range(len(each))]
        figures = {measure: grid.mean(cells, [measure]) for measure in MEASURES}
        changed = fmean(_changed(study.clean, model) for model in each)
        found[arm] = Retrained(len(each), figures, changed)
    return found


def _changed(before: nn.Module, after: nn.Module) -> float:
    other, own = after.state_dict(), dict(before.named_parameters())
    moved = [tensor for name, tensor in own.items() if not torch.equal(tensor, other[name])]
    return sum(t.numel() for t in moved) / sum(t.numel() for t in own.values())


def retrain(study: Study, arm: str, seed: int) -> nn.Module:
    """Go on training the clean model in one of the ways of `ARMS`."""
    settings = study.settings.filtering
    config = settings.training.model_copy(update={"seed": seed})
    recipe: Recipe = CleanRecipe()
    if arm != "plain":
        kinds = ("fragile",) if arm == "fragile" else settings.recipe.train
        recipe = SelectiveRecipe(settings.recipe.model_copy(update={"train": kinds}))
    return study.trained(f"filtering-{arm}-{seed}", recipe, study.clean, config)


def gain(found: Mapping[str, Retrained], measure: str, arm: str = "selective") -> Figure:
    """An arm − plain retraining, in points; means over the seeds."""
    return found[arm].figures[measure] - found["plain"].figures[measure]


def _retraining(found: Mapping[str, Retrained]) -> Finding:
    above = [
        (interval := gain(found, name).interval) is not None and interval.low > 0
        for name in ("fgsm", "pgd10")
    ]
    order = {name: MEASURES[name] for name in ("fgsm", "pgd10", "ta")}
    said, instead = (
        ", ".join(f"{word} {told(gain(found, name, arm), '+.1f')}" for name, word in order.items())
        for arm in ("selective", "fragile")
    )
    return Finding(
        "Retraining only robust and antifragile layers helps against attacks (about +10 points)",
        findings.agreed(above),
        f"selective − plain, in points: {said}; the fragile layers instead − plain: {instead}",
    )


def _batch_norm(maps: Maps) -> Finding:
    pairs = [("ResNet-18", maps["resnet"], maps["resnet_folded"])]
    if "unfolded" in maps:
        pairs.append(("bundled model", maps["unfolded"], maps["coarse"]))
    kept = {name: (retained(left), retained(folded)) for name, left, folded in pairs}
    said = "; ".join(
        f"{name}: {left:.1f} points above chance with BatchNorm, {folded:.1f} with it folded"
        for name, (left, folded) in kept.items()
    )
    return Finding(
        "BatchNorm keeps a network going although all of a layer's weights are gone",
        findings.agreed([left - folded > _RETAINED for left, folded in kept.values()]),
        f"mean over the layers, evaluation mode; {said}. Normalizing by each batch's statistics, "
        f"as in training mode, the ResNet-18 keeps {retained(maps['resnet_batch']):.1f}",
    )


def retained(report: FilteringReport, name: str = "h1") -> float:
    """Accuracy above chance, in points, with all of a layer's weights gone; mean over layers."""
    chance = 100.0 / report.curves.classes
    curves = [curve for curve in report.curves.curves if curve.filter == name]
    return fmean(float(curve.accuracy[-1]) - chance for curve in curves)


def _layers(report: FilteringReport, title: str) -> str:
    filters = report.curves.options.filters
    header = ["layer", *(f"S2, {name}" for name in filters), "S1", "S2", "S3", "kind", "clear"]
    names = short_names([layer.layer for layer in report.scores])
    rows = []
    for name, layer in zip(names, report.scores, strict=True):
        each = [layer.by_filter[one]["s2"] for one in filters]
        means = [told(layer.mean[score], "z.2f") for score in ("s1", "s2", "s3")]
        clear = "yes" if layer.clear else "no"
        shown = ["-" if figure is None else figure.value for figure in each]
        rows.append([name, *shown, *means, layer.kind or "-", clear])
    return table(header, rows, title, "z.2f")


def _across(maps: Maps) -> str:
    """One row a layer, one column a data set; and BatchNorm left in."""
    columns = {
        "coarse": "bundled",
        "digits": "digits",
        "half": "half of the classes",
        "unfolded": "BatchNorm left in",
    }
    shown = [name for name in columns if name in maps]
    means = [findings.s2_of(maps[name]) for name in shown]
    names = short_names([layer.layer for layer in maps["coarse"].scores])
    rows = [
        [name, *(told(figure, "z.2f") for figure in figures)]
        for name, *figures in zip(names, *means, strict=True)
    ]
    header = ["layer", *(columns[name] for name in shown)]
    return table(header, rows, "Mean S2 of the same network's layers")
