"""Parameter corruption: Table 1, Table 4, Figures 4 and 7 of Sun et al., AAAI 2021, in kind.

    python -m benchmarks.paper.parameter_corruption --data NAME:PATH [--json]

On the bundled model and on a ResNet-18 that is trained here and keeps its BatchNorm: random
against gradient-based corruption, layers, component types, and the ResNet's components one by one.
Gradients are of training images, as in the paper; accuracies are those of test images.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.paper.corruption_findings import Finding, epsilon_for, findings
from benchmarks.paper.corruption_pictures import (
    draw_components,
    draw_layers,
    draw_tables,
    draw_types,
)
from benchmarks.paper.pages import Picture, Table, write_blocks
from benchmarks.paper.study import Study, start
from rwsstore.cpu import ComputeMode
from rwsstore.data import ImageSet
from rwsstore.models import build, short_names
from rwsstore.models.classifier import Classifier
from rwsstore.probes.parameter_corruption import (
    CorruptionReport,
    CorruptionRow,
    ProbeOptions,
    by_type,
    probe_corruption,
)
from rwsstore.training import CleanRecipe

Reports = Mapping[str, CorruptionReport]

_INFINITE = float("inf")


@dataclass(frozen=True)
class Found:
    """Every probe, by network.

    Attributes:
        tables: all parameters, n = k.
        few: all parameters, n small.
        layers: layer by layer.
        types: component type by component type.
        components: module by module, of the ResNet.
    """

    tables: Reports
    few: Reports
    layers: Reports
    types: Reports
    components: CorruptionReport


def networks(study: Study) -> dict[str, Classifier]:
    """The bundled model, and the ResNet as trained, its BatchNorm left in."""
    settings = study.settings.parameter_corruption
    fields = {"network": "resnet18", "width": settings.width, "batch_norm": True, "folded": False}
    spec = study.clean.spec.model_copy(update=fields)
    begin = build(spec, seed=study.settings.seed).eval()
    trained = study.trained("corruption-resnet18", CleanRecipe(), begin, settings.training)
    assert isinstance(trained, Classifier)
    own = f"{study.clean.spec.network}, bundled"
    return {own: study.clean, "resnet18": ComputeMode(channels_last=True).prepare(trained)}


def gradient_images(study: Study) -> ImageSet:
    """Training images, as many of each class."""
    count = study.settings.parameter_corruption.gradient_images
    return (
        study.train.limit(count, study.settings.seed) if count < len(study.train) else study.train
    )


def normalizations(model: Classifier) -> set[str]:
    """Names of the modules that are normalizations."""
    groups = [group for group in by_type(model) if group.name == "norm"]
    return {name.rpartition(".")[0] for group in groups for name in group.parameters}


def run(study: Study) -> dict[str, Any]:
    """Train, probe, write the page and the pictures; the headline figures are returned."""
    models = networks(study)
    found, norms = probe(study, models), normalizations(models["resnet18"])
    asked = findings(found.tables, found.few, found.layers, found.types, found.components, norms)
    _write(study, found, asked)
    return _headlines(found, asked)


def probe(study: Study, models: Mapping[str, Classifier]) -> Found:
    """Measure everything that was not measured before."""
    settings = study.settings.parameter_corruption
    table = {"draws": settings.draws, "seed": study.settings.seed}
    source = gradient_images(study)

    def probed(**fields: Any) -> dict[str, CorruptionReport]:
        return {name: _probe(study, model, source, **fields) for name, model in models.items()}

    return Found(
        tables=probed(epsilons=settings.table_epsilons, **table),
        few=probed(epsilons=settings.few_epsilons, ns=(settings.few,), **table),
        layers=probed(
            epsilons=settings.layer_epsilons, ns=(settings.layer_n,), by="layer", draws=0
        ),
        types=probed(
            epsilons=settings.type_epsilons, ns=settings.type_ns, by="type", p=_INFINITE, draws=0
        ),
        components=_probe(
            study, models["resnet18"], source, epsilons=settings.component_epsilons,
            ns=(settings.component_n,), by="module", p=_INFINITE, draws=0,
        ),
    )  # fmt: skip


def _probe(study: Study, model: Classifier, source: ImageSet, **fields: Any) -> CorruptionReport:
    return probe_corruption(
        model,
        study.test.images,
        study.test.labels,
        ProbeOptions(**fields),
        gradient_of=(source.images, source.labels),
        name=study.test.name,
        results=study.results,
        progress=study.progress,
    )


def _write(study: Study, found: Found, asked: Mapping[str, Finding]) -> None:
    settings = study.settings.parameter_corruption
    blocks: list[str | Table | Picture] = [
        _about(study, found),
        "What the paper found, and what our numbers say:",
        "\n".join(f"- {one.claim}: **{one.verdict}**. {one.reason}." for one in asked.values()),
        Picture(draw_tables(study, found.tables, found.few), "Accuracy against ε"),
        *_table_one("n = k", found.tables),
        *_table_one(f"n = {settings.few}", found.few),
        Picture(draw_layers(study, found.layers), "Points of accuracy lost, layers × ε"),
        *(_by_group("layer", name, report) for name, report in found.layers.items()),
        Picture(draw_types(study, found.types), "Points of accuracy lost, types × ε"),
        *(_by_group("type", name, report) for name, report in found.types.items()),
        Picture(draw_components(study, found.components), "Points lost, components × ε"),
        _by_group("component", "resnet18", found.components),
    ]
    write_blocks(
        study,
        "Parameter corruption (Tables 1 and 4, Figures 4 and 7 in kind)",
        blocks,
        corrupted=False,
    )


def _about(study: Study, found: Found) -> str:
    settings = study.settings.parameter_corruption
    clean = ", ".join(
        f"{name} {report.clean.accuracy:.1f} %" for name, report in found.tables.items()
    )
    sizes = ", ".join(f"{report.rows[0].parameters:,}" for report in found.tables.values())
    return (
        f"Accuracy in % of test images; without corruption: {clean} ({sizes} parameters). "
        f"The ResNet-18 has width {settings.width:g}, was trained {settings.training.epochs} "
        "epochs and keeps its BatchNorm; the bundled model's is folded. Gradients and loss changes "
        f"are of {len(gradient_images(study)):,} training images. Random corruption: mean of "
        f"{settings.draws} draws ± their standard deviation. Mean drop: the share of the accuracy "
        "above chance that is lost, mean over the ε of the table, gradient-based; the findings' "
        "thresholds and tests are our own. [The method](../use/parameter-corruption.md)."
    )


def _table_one(word: str, reports: Reports) -> Iterator[Table]:
    """Table 1, and what the indicator says."""
    header = ["ε"]
    for name in reports:
        header += [f"random, {name}", f"gradient-based, {name}", "its loss change", "first order"]
    epsilons = next(iter(reports.values())).epsilons
    rows = []
    for place, epsilon in enumerate(epsilons):
        cells = [f"{epsilon:g}"]
        for report in reports.values():
            cells += _compared(report, report.rows[place])
        rows.append(cells)
    yield Table(header, rows, title=f"Random against gradient-based, p = 2, {word}")


def _compared(report: CorruptionReport, row: CorruptionRow) -> list[str]:
    assert row.random_accuracy is not None
    lost = row.gradient.accuracy - report.clean.accuracy
    change = row.gradient.loss_change
    return [
        f"{row.random_accuracy:.1f} ± {row.random_spread:.1f}",
        f"{row.gradient.accuracy:.1f} ({lost:+z.1f})",
        "not finite" if change is None else f"{change:+.2g}",
        f"{row.gradient.first_order:+.2g}",
    ]


def _by_group(word: str, network: str, report: CorruptionReport) -> Table:
    norm = "∞" if report.p == _INFINITE else f"{report.p:g}"
    several = len(report.ns) > 1
    header = [word, "parameters", *(["n"] if several else [])]
    header += [*(f"ε = {epsilon:g}" for epsilon in report.epsilons), "mean drop"]
    rows = []
    for group, shown in zip(report.groups, short_names(list(report.groups)), strict=True):
        for n in report.ns:
            cells = [shown, f"{report.groups[group]:,}", *([str(n)] if several else [])]
            cells += [f"{row.gradient.accuracy:.1f}" for row in report.of(group, n)]
            drop = report.mean_drop(group, n)
            rows.append([*cells, "" if drop is None else f"{100 * drop:.0f} %"])
    limit = "" if several else f", n = {report.ns[0]}"
    return Table(header, rows, title=f"{network}, {word} by {word}, p = {norm}{limit}")


def _headlines(found: Found, asked: Mapping[str, Finding]) -> dict[str, Any]:
    return {
        "networks": {
            name: {
                "accuracy": report.clean.accuracy,
                "all_parameters": _points(report),
                "few_parameters": _points(found.few[name]),
                "layers": _mean_drops(found.layers[name]),
                "types": _mean_drops(found.types[name]),
            }
            for name, report in found.tables.items()
        },
        "findings": {
            name: {"claim": one.claim, "verdict": one.verdict, "because": one.reason}
            for name, one in asked.items()
        },
    }


def _points(report: CorruptionReport) -> dict[str, Any]:
    """Accuracy over ε, and where 20 points are lost."""
    return {
        "n": report.ns[0],
        "accuracy": [
            {
                "epsilon": row.epsilon,
                "random": row.random_accuracy,
                "gradient": row.gradient.accuracy,
            }
            for row in report.rows
        ],
        "epsilon_of_20_points": {
            word: epsilon_for(report, 20.0, random=random)
            for word, random in (("random", True), ("gradient", False))
        },
    }  # fmt: skip


def _mean_drops(report: CorruptionReport) -> list[dict[str, Any]]:
    names: Sequence[str] = list(report.groups)
    return [
        {"group": name, "n": n, "mean_drop": report.mean_drop(name, n)}
        for name in names
        for n in report.ns
    ]


def main() -> None:
    start("parameter_corruption", run, __doc__)


if __name__ == "__main__":
    main()
