"""Synaptic filtering: maps, the paper's claims, and selective against plain retraining.

Pravin et al., "Fragility, Robustness and Antifragility in Deep Learning", 2023. With --work-bundle
the bundled model is filtered before folding too.
"""

from typing import Any

from benchmarks.paper.filtering_findings import filtering_findings
from benchmarks.paper.filtering_maps import Maps, measure_maps
from benchmarks.paper.filtering_retraining import ARMS, MEASURES, gain, measure_retrained
from benchmarks.paper.pages import Table, counted, draw, told, write_page
from benchmarks.paper.study import Study
from rwsstore.measure import Figure
from rwsstore.models import short_names
from rwsstore.probes.filtering import FilteringReport, draw_curves, draw_map


def run(study: Study) -> dict[str, Any]:
    """Train, filter, attack, write the page and the pictures; returns the headline figures."""
    settings, maps = study.settings.filtering, measure_maps(study)
    found = measure_retrained(study)
    asked = filtering_findings(maps, found)
    write_page(
        study,
        images=maps.bundled.curves.images,
        coarse=(settings.thresholds + 1) // 2,
        epochs=counted(settings.training.epochs, "epoch"),
        runs=counted(settings.seeds, "run"),
        every=counted(settings.recipe.every, "epoch"),
        findings=Table(
            ["finding", "our numbers say", "because"],
            [[one.claim, one.verdict, one.reason] for one in asked.values()],
            "The paper's findings",
        ),
        map=draw(study, "Scores of the bundled model", draw_map(maps.bundled), "map"),
        curves=draw(study, "Accuracy over thresholds", draw_curves(maps.bundled), "curves"),
        layers=_layers(maps.bundled, "The bundled model's layers"),
        retrained=Table(
            ["", *MEASURES.values(), "runs", "parameters changed"],
            [
                [ARMS[arm], *one.figures.values(), one.runs, f"{one.changed:.0%}"]
                for arm, one in found.items()
            ],
            "Retraining: accuracy in %",
        ),
        resnet_map=draw(study, "Scores of the ResNet-18", draw_map(maps.resnet), "resnet18-map"),
        resnet_layers=_layers(maps.resnet, "The ResNet-18's layers"),
        across=_across(maps),
    )
    return {
        "kinds": maps.bundled.counts,
        "mean_s2": {layer.layer: _value(layer.mean["s2"]) for layer in maps.bundled.scores},
        "retrained": {
            arm: {name: figure.value for name, figure in one.figures.items()}
            for arm, one in found.items()
        },
        "gain": {
            arm: {name: _gain(gain(found, name, arm)) for name in MEASURES}
            for arm in ("selective", "fragile")
        },
        "findings": {key: {"verdict": f.verdict, "because": f.reason} for key, f in asked.items()},
    }


def _layers(report: FilteringReport, title: str) -> Table:
    filters = report.curves.options.filters
    header = ["layer", *(f"S2, {name}" for name in filters), "S1", "S2", "S3", "kind", "clear"]
    names = short_names([layer.layer for layer in report.scores])
    rows = []
    for name, layer in zip(names, report.scores, strict=True):
        each = [_value(layer.by_filter[one]["s2"]) for one in filters]
        means = [told(layer.mean[score], "z.2f") for score in ("s1", "s2", "s3")]
        clear = "yes" if layer.clear else "no"
        shown = ["-" if value is None else value for value in each]
        rows.append([name, *shown, *means, layer.kind or "-", clear])
    return Table(header, rows, title, "z.2f")


def _across(maps: Maps) -> Table:
    """One row a layer, one column a data set; and BatchNorm left in."""
    columns = {"bundled": maps.coarse, "digits": maps.digits, "half of the classes": maps.half}
    if maps.unfolded is not None:
        columns["BatchNorm left in"] = maps.unfolded
    names = short_names([layer.layer for layer in maps.coarse.scores])
    rows = [
        [name, *(told(report.scores[place].mean["s2"], "z.2f") for report in columns.values())]
        for place, name in enumerate(names)
    ]
    return Table(["layer", *columns], rows, "Mean S2 of the same network's layers")


def _value(figure: Figure | None) -> float | None:
    return None if figure is None else figure.value


def _gain(figure: Figure) -> dict[str, Any]:
    interval = figure.interval
    return {
        "points": figure.value,
        "interval": None if interval is None else interval.model_dump(),
    }
