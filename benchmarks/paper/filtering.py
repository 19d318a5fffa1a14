"""Synaptic filtering: maps, the paper's claims, and selective against plain retraining.

    python -m benchmarks.paper.filtering --data NAME:PATH [--work-bundle DIR] [--json]

Pravin et al., "Fragility, Robustness and Antifragility in Deep Learning", 2023. With --work-bundle
the bundled model is filtered before folding too.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.paper.corruption_findings import Finding
from benchmarks.paper.filtering_findings import filtering_findings
from benchmarks.paper.filtering_maps import Maps, measure_maps
from benchmarks.paper.filtering_retraining import ARMS, Retrained, gain, measure_retrained
from benchmarks.paper.pages import Picture, Table, write_blocks
from benchmarks.paper.study import Study, start
from rwsstore.files import make_folders, write_atomic
from rwsstore.measure import Figure
from rwsstore.models import short_names
from rwsstore.probes.filtering import FilteringReport, LayerScores, draw_curves, draw_map

_MEASURES = {"ta": "TA", "fgsm": "FGSM", "pgd10": "PGD-10"}


def run(study: Study) -> dict[str, Any]:
    """Train, filter, attack, write the page and the pictures; returns the headline figures."""
    maps = measure_maps(study)
    found = measure_retrained(study)
    asked = filtering_findings(maps, found)
    _write(study, maps, found, asked)
    return _headlines(maps, found, asked)


def _write(
    study: Study, maps: Maps, found: Mapping[str, Retrained], asked: Mapping[str, Finding]
) -> None:
    blocks: list[str | Table | Picture] = [
        _about(study, maps),
        Table(
            ["finding", "our numbers say", "because"],
            [[one.claim, one.verdict, one.reason] for one in asked.values()],
            title="The paper's findings",
        ),
        Picture(_saved(study, "map", draw_map(maps.bundled)), "Scores of the bundled model"),
        Picture(_saved(study, "curves", draw_curves(maps.bundled)), "Accuracy over thresholds"),
        Table(*_layers(maps.bundled), title="The bundled model's layers"),
        Table(*_retrained(found), title="Retraining: accuracy in %"),
        Picture(_saved(study, "resnet18-map", draw_map(maps.resnet)), "Scores of the ResNet-18"),
        Table(*_layers(maps.resnet), title="The ResNet-18's layers"),
        Table(*_across(maps), title="Mean S2 of the same network's layers"),
    ]
    write_blocks(study, "Synaptic filtering", blocks)


def _saved(study: Study, suffix: str, picture: bytes) -> Path:
    make_folders(study.docs)
    path = study.docs / f"{study.name}-{suffix}.png"
    write_atomic(path, picture)
    return path


def _about(study: Study, maps: Maps) -> str:
    settings, training = study.settings.filtering, study.settings.filtering.training
    curves = maps.bundled.curves
    return (
        f"Maps are of {curves.images} test images, {settings.thresholds} thresholds for the "
        f"bundled model and {(settings.thresholds + 1) // 2} for the others, FGSM at ε = "
        f"{settings.epsilon:g}, accuracies normalised above chance, intervals over the images at "
        f"95 %. The verdict is the mean of S2 over the filters, its tolerance "
        f"{maps.bundled.options.tolerance:g}. Retraining: {_count(training.epochs, 'epoch')} from "
        f"the clean model at a learning rate of {training.learning_rate:g}, "
        f"{_count(settings.seeds, 'run')} each, one for the fragile layers; layers are scored on "
        f"{settings.recipe.images} training images, again every "
        f"{_count(settings.recipe.every, 'epoch')}."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _layers(report: FilteringReport) -> tuple[list[str], list[list[str]]]:
    filters = report.curves.options.filters
    header = ["layer", *(f"S2, {name}" for name in filters), "S1", "S2", "S3", "kind", "clear"]
    names = short_names([layer.layer for layer in report.scores])
    rows = []
    for name, layer in zip(names, report.scores, strict=True):
        each = [_number(layer.by_filter[one]["s2"]) for one in filters]
        means = [_with_ends(layer.mean[score]) for score in ("s1", "s2", "s3")]
        rows.append([name, *each, *means, layer.kind or "-", "yes" if layer.clear else "no"])
    return header, rows


def _across(maps: Maps) -> tuple[list[str], list[list[str]]]:
    """One row a layer, one column a data set; and BatchNorm left in."""
    columns = {"bundled": maps.coarse, "digits": maps.digits, "half of the classes": maps.half}
    if maps.unfolded is not None:
        columns["BatchNorm left in"] = maps.unfolded
    names = short_names([layer.layer for layer in maps.coarse.scores])
    rows = [
        [name, *(_with_ends(report.scores[place].mean["s2"]) for report in columns.values())]
        for place, name in enumerate(names)
    ]
    return ["layer", *columns], rows


def _retrained(found: Mapping[str, Retrained]) -> tuple[list[str], list[list[str]]]:
    header = ["", *_MEASURES.values(), "runs", "parameters changed"]
    rows = [
        [
            ARMS[key],
            *(_percent(arm.figures[measure]) for measure in _MEASURES),
            str(arm.runs),
            f"{arm.changed:.0%}",
        ]
        for key, arm in found.items()
    ]
    return header, rows


def _percent(figure: Figure) -> str:
    ends = figure.interval
    return f"{figure.value:.1f}" + ("" if ends is None else f" ({ends.low:.1f} to {ends.high:.1f})")


def _number(figure: Figure | None) -> str:
    return "-" if figure is None else f"{figure.value:z.2f}"


def _with_ends(figure: Figure | None) -> str:
    if figure is None or figure.interval is None:
        return _number(figure)
    return f"{figure.value:z.2f} ({figure.interval.low:z.2f} to {figure.interval.high:z.2f})"


def _headlines(
    maps: Maps, found: Mapping[str, Retrained], asked: Mapping[str, Finding]
) -> dict[str, Any]:
    return {
        "kinds": maps.bundled.counts,
        "mean_s2": {layer.layer: _value(layer) for layer in maps.bundled.scores},
        "retrained": {
            key: {name: figure.value for name, figure in arm.figures.items()}
            for key, arm in found.items()
        },
        "gain": {
            arm: {name: _gain(gain(found, name, arm)) for name in _MEASURES}
            for arm in ("selective", "fragile")
        },
        "findings": {key: {"verdict": f.verdict, "because": f.reason} for key, f in asked.items()},
    }


def _value(layer: LayerScores) -> float | None:
    figure = layer.mean["s2"]
    return None if figure is None else figure.value


def _gain(figure: Figure) -> dict[str, Any]:
    interval = figure.interval
    return {
        "points": figure.value,
        "interval": None if interval is None else interval.model_dump(),
    }


def main() -> None:
    start("filtering", run, __doc__)


if __name__ == "__main__":
    main()
