"""Parameter corruption: Table 1, Table 4, Figures 4 and 7 of Sun et al., AAAI 2021, in kind.

On the bundled model and on a ResNet-18 that is trained here and keeps its BatchNorm: random
against gradient-based corruption, layers, component types, and the ResNet's components one by one.
Gradients are of training images, as in the paper; accuracies are those of test images.
"""

from collections.abc import Mapping
from math import inf
from typing import Any

from benchmarks.paper import findings
from benchmarks.paper.findings import Reports, epsilon_for
from benchmarks.paper.pages import draw, table, write_page
from benchmarks.paper.study import Study, faster
from rwsstore.data import ImageSet
from rwsstore.drawing import new_figure
from rwsstore.models import Classifier, short_names
from rwsstore.probes import parameter_corruption as probes
from rwsstore.probes.parameter_corruption import CorruptionReport
from rwsstore.training import CleanRecipe


def networks(study: Study) -> dict[str, Classifier]:
    """The bundled model, and the ResNet as trained, its BatchNorm left in."""
    settings = study.settings.parameter_corruption
    begin = study.untrained(network="resnet18", width=settings.width)
    trained = study.trained("corruption-resnet18", CleanRecipe(), begin, settings.training)
    own = f"{study.clean.spec.network}, bundled"
    return {own: study.clean, "resnet18": faster(trained)}


def gradient_images(study: Study) -> ImageSet:
    return study.some(study.train, study.settings.parameter_corruption.gradient_images)


def normalizations(model: Classifier) -> set[str]:
    groups = [group for group in probes.by_type(model) if group.name == "norm"]
    return {name.rpartition(".")[0] for group in groups for name in group.parameters}


def run(study: Study) -> dict[str, Any]:
    models, few = networks(study), study.settings.parameter_corruption.few
    found, norms = probe(study, models), normalizations(models["resnet18"])
    whole, resnet = found["tables"], found["components"]["resnet18"]
    asked = {
        "gradient_beats_random": findings.gradient_beats_random(
            {"n = k": whole, "n small": found["few"]}
        ),
        "norm_most_sensitive": findings.norm_most_sensitive(found["types"]),
        "conv_before_linear": findings.conv_before_linear(found["types"]),
        "position": findings.position(found["layers"]),
        "norm_before_neighbour": findings.norm_before_neighbour(resnet, norms),
    }
    said = asked.values()
    write_page(
        study,
        clean=", ".join(f"{name} {one.clean.accuracy:.1f} %" for name, one in whole.items()),
        sizes=", ".join(f"{report.rows[0].parameters:,}" for report in whole.values()),
        gradients=len(gradient_images(study)),
        findings="\n".join(f"- {one.claim}: **{one.verdict}**. {one.reason}." for one in said),
        curves=_draw_tables(study, whole, found["few"]),
        all_parameters=_compared("n = k", whole),
        few_parameters=_compared(f"n = {few}", found["few"]),
        layers_map=_draw_maps(study, found["layers"], "layers", across=True),
        layers=[_by_group("layer", name, report) for name, report in found["layers"].items()],
        types_map=_draw_maps(study, found["types"], "types"),
        types=[_by_group("type", name, report) for name, report in found["types"].items()],
        components_map=_draw_components(study, resnet),
        components=_by_group("component", "resnet18", resnet),
        corrupted=False,
    )
    return {
        "networks": {
            name: {
                "accuracy": report.clean.accuracy,
                "all_parameters": _points(report),
                "few_parameters": _points(found["few"][name]),
                "layers": _mean_drops(found["layers"][name]),
                "types": _mean_drops(found["types"][name]),
            }
            for name, report in whole.items()
        },
        "findings": {
            name: {"claim": one.claim, "verdict": one.verdict, "because": one.reason}
            for name, one in asked.items()
        },
    }


def probe(study: Study, models: Mapping[str, Classifier]) -> dict[str, Reports]:
    """Measure everything that was not measured before.

    Returns:
        "tables": all parameters, n = k; "few": n small; "layers" and component "types" one by one;
        "components": module by module, of the ResNet.
    """
    settings, source = study.settings.parameter_corruption, gradient_images(study)
    drawn = {"draws": settings.draws, "seed": study.settings.seed}
    rows: dict[str, dict[str, Any]] = {
        "tables": {"epsilons": settings.table_epsilons, **drawn},
        "few": {"epsilons": settings.few_epsilons, "ns": (settings.few,), **drawn},
        "layers": {"epsilons": settings.layer_epsilons, "ns": (settings.layer_n,), "by": "layer"},
        "types": {
            "epsilons": settings.type_epsilons, "ns": settings.type_ns, "by": "type", "p": inf,
        },
        "components": {
            "epsilons": settings.component_epsilons, "ns": (settings.component_n,),
            "by": "module", "p": inf,
        },
    }  # fmt: skip
    return {
        what: {
            name: probes.probe_corruption(
                model, study.test.images, study.test.labels,
                probes.ProbeOptions(**{"draws": 0, **fields}),
                gradient_of=(source.images, source.labels), name=study.test.name,
                results=study.results, progress=study.progress,
            )
            for name, model in models.items()
            if what != "components" or name == "resnet18"
        }
        for what, fields in rows.items()
    }  # fmt: skip


def _compared(word: str, reports: Reports) -> str:
    """Table 1, and what the indicator says."""
    header = ["ε"]
    rows = [[f"{epsilon:g}"] for epsilon in next(iter(reports.values())).epsilons]
    for name, report in reports.items():
        header += [f"random, {name}", f"gradient-based, {name}", "its loss change", "first order"]
        for cells, row in zip(rows, report.rows, strict=True):
            lost = row.gradient.accuracy - report.clean.accuracy
            change = row.gradient.loss_change
            cells += [
                f"{row.random_accuracy:.1f} ± {row.random_spread:.1f}",
                f"{row.gradient.accuracy:.1f} ({lost:+z.1f})",
                "not finite" if change is None else f"{change:+.2g}",
                f"{row.gradient.first_order:+.2g}",
            ]
    return table(header, rows, f"Random against gradient-based, p = 2, {word}")


def _by_group(word: str, network: str, report: CorruptionReport) -> str:
    norm = "∞" if report.p == inf else f"{report.p:g}"
    several = len(report.ns) > 1
    header = [word, "parameters", *(["n"] if several else [])]
    header += [*(f"ε = {epsilon:g}" for epsilon in report.epsilons), "mean drop"]
    rows = []
    for group, shown in zip(report.groups, short_names(list(report.groups)), strict=True):
        for n in report.ns:
            drop = report.mean_drop(group, n)
            accuracies = [row.gradient.accuracy for row in report.of(group, n)]
            rows.append(
                [
                    shown, report.groups[group], *([str(n)] if several else []), *accuracies,
                    None if drop is None else f"{100 * drop:.0f} %",
                ]
            )  # fmt: skip
    limit = "" if several else f", n = {report.ns[0]}"
    return table(header, rows, f"{network}, {word} by {word}, p = {norm}{limit}")


def _points(report: CorruptionReport) -> dict[str, Any]:
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
    }


def _mean_drops(report: CorruptionReport) -> list[dict[str, Any]]:
    return [
        {"group": name, "n": n, "mean_drop": report.mean_drop(name, n)}
        for name in report.groups
        for n in report.ns
    ]


def _draw_tables(study: Study, *lines: Reports) -> str:
    """Accuracy against ε: networks to the right, n = k above, n small below."""
    figure = new_figure(4.2 * len(lines[0]) + 1.6, 6.4)
    grid = figure.subplots(len(lines), len(lines[0]), squeeze=False, sharey=True)
    for line, reports in zip(grid, lines, strict=True):
        for axes, (name, report) in zip(line, reports.items(), strict=True):
            probes.draw_curves(axes, report)
            axes.set_title(name, fontsize=10, loc="left")
        for axes in line[1:]:
            axes.set_ylabel("")
        line[-1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return draw(study, "Accuracy against ε", figure)


def _draw_maps(study: Study, reports: Reports, what: str, *, across: bool = False) -> str:
    """Layers or types × ε, on one scale: networks across, or downwards with each n to the right."""
    columns = max(len(report.ns) for report in reports.values())
    if across:
        height = 1.4 + 0.28 * max(len(report.groups) for report in reports.values())
        figure = new_figure(4.6 * len(reports), height)
        grid = figure.subplots(columns, len(reports), squeeze=False).T
    else:
        figure = new_figure(1.6 + 3.4 * columns, 1.0 + 1.7 * len(reports))
        grid = figure.subplots(len(reports), columns, squeeze=False)
    top = max(report.clean.accuracy - 100 / report.classes for report in reports.values())
    for line, (name, report) in zip(grid, reports.items(), strict=True):
        norm = "∞" if report.p == inf else f"{report.p:g}"
        for place, (axes, n) in enumerate(zip(line, report.ns, strict=True)):
            drawn = probes.draw_losses(axes, report, n, named=not place, top=top)
            axes.set_title(f"{name}: p = {norm}, n = {n}", fontsize=9)
    every = [axes for line in grid for axes in line]
    figure.colorbar(drawn, ax=every, shrink=0.8, label="points of accuracy lost")
    return draw(study, f"Points of accuracy lost, {what} × ε", figure, what)


def _draw_components(study: Study, report: CorruptionReport) -> str:
    figure = new_figure(2.8 + 0.6 * len(report.epsilons), 1.4 + 0.2 * len(report.groups))
    axes = figure.add_subplot()
    drawn = probes.draw_losses(axes, report, report.ns[0])
    axes.set_title(f"p = ∞, n = {report.ns[0]}", fontsize=9)
    figure.colorbar(drawn, ax=axes, shrink=0.5, label="points of accuracy lost")
    return draw(study, "Points lost, components × ε", figure, "components")
