"""`rws probe corruption`."""

__all__ = ["command"]

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from rwsstore.analysis.parameter_corruption import (
    CorruptionReport,
    ProbeOptions,
    corruption_table,
    draw_corruption,
    probe_corruption,
)
from rwsstore.canonical import key_part
from rwsstore.cli.options import (
    dataset_option,
    limit_option,
    load_test_images,
    model_options,
)
from rwsstore.cli.output import check_outputs, report_options, write_report
from rwsstore.cli.probe.shared import kept_results, load_probed_model, unfolded_option
from rwsstore.data import ImageSet, load_images, match_classes
from rwsstore.errors import ConfigError
from rwsstore.files import Results, write_atomic
from rwsstore.models import Classifier, parse_layers, weights_fingerprint
from rwsstore.progress import ConsoleReporter, Reporter
from rwsstore.training.resume import images_digest

_DRAWS = 3
"""Random corruptions where all parameters are probed as one group."""


@click.command("corruption", short_help="Corrupt parameters on purpose: by type, by layer, over ε.")
@model_options
@unfolded_option
@dataset_option
@click.option(
    "--by",
    type=click.Choice(["table", "type", "layer", "module"]),
    default="table",
    show_default=True,
    help="Corrupt all parameters together, random against gradient-based; or one component type, "
    "one layer or one module at a time.",
)
@click.option("--layers", help="Only these: 1-3, 1,4 or names (conv2). With --by table or layer.")
@click.option(
    "--epsilon",
    default="0.01,0.1,1,10",
    show_default=True,
    metavar="NUMBERS",
    help="ε, the norm of a corruption.",
)
@click.option(
    "--p", "norm", default="2", show_default=True, metavar="P", help="Of that norm: 1 to inf."
)
@click.option(
    "--n",
    "numbers",
    default="all",
    show_default=True,
    metavar="NUMBERS",
    help="How many parameters are corrupted at most: 10,100,all. A group with fewer is corrupted "
    "whole.",
)
@click.option(
    "--seeds",
    "draws",
    type=click.IntRange(0, 1000),
    help=f"Random corruptions for each ε and n. Default: {_DRAWS} with --by table, else 0.",
)
@click.option(
    "--gradient-images",
    type=click.IntRange(min=1),
    help="Take gradient and loss changes on so many training images, as many of each class. "
    "Default: on the test images.",
)
@limit_option
@click.option(
    "--seed",
    type=click.IntRange(0, 2**62),
    default=0,
    show_default=True,
    help="Of the limits and of the first random corruption.",
)
@report_options(csv="a row for each group, n and ε", png="curves, or heat maps")
def command(**options: Any) -> None:
    """Corrupt parameters by a vector of norm ε, and measure what is left of the accuracy.

    The gradient-based corruption is the one that the loss rises most for, to first order; random
    ones ask how likely an accident is. The model is copied and never written to. An interrupted
    run goes on where it was when the same command is given again.

    \b
    Examples:
      rws probe corruption --dataset imagefolder:cifar10 --epsilon 0.01,0.1,1 --n all,100
      rws probe corruption --dataset imagefolder:cifar10 --by layer --n 100 --png layers.png
      rws probe corruption --model m.unfolded.safetensors --unfolded --by type --p inf --n 10 \\
        --dataset digits
    """
    check_outputs(options)
    settings = _settings(options)
    model = load_probed_model(options)
    layers = None if options["layers"] is None else parse_layers(model, options["layers"])
    reporter = ConsoleReporter()
    images = load_test_images(options, model, reporter)
    source = _gradient_images(options, model, reporter)
    results = _results(model, images, source, settings, layers)
    report = probe_corruption(
        model,
        images.images,
        images.labels,
        settings,
        gradient_of=None if source is None else (source.images, source.labels),
        layers=layers,
        name=images.name,
        results=results,
        progress=reporter,
    )
    write_report(report, options, table=corruption_table, plot=_plot)
    results.forget()


def _settings(options: Mapping[str, Any]) -> ProbeOptions:
    draws = options["draws"]
    return ProbeOptions(
        epsilons=tuple(sorted(_number(part, "ε") for part in options["epsilon"].split(","))),
        by=options["by"],
        p=_number(options["norm"], "p"),
        ns=tuple(_count(part) for part in options["numbers"].split(",")),
        draws=(_DRAWS if options["by"] == "table" else 0) if draws is None else draws,
        seed=options["seed"],
    )


def _number(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise ConfigError(f"{what} {text.strip()!r}; expected a number")
    return value


def _count(text: str) -> int | None:
    word = text.strip()
    if word == "all":
        return None
    if not (word.isascii() and word.isdecimal()):
        raise ConfigError(f"n {word!r}; expected a whole number, or all")
    return int(word)


def _gradient_images(
    options: Mapping[str, Any], model: Classifier, progress: Reporter
) -> ImageSet | None:
    count, spec = options["gradient_images"], model.spec
    if count is None:
        return None
    images = load_images(options["dataset"], "train", size=spec.input_size, progress=progress)
    chosen = images.limit(count, options["seed"]) if count < len(images) else images
    return match_classes(chosen, spec.classes, num_classes=spec.num_classes)


def _results(
    model: Classifier,
    images: ImageSet,
    source: ImageSet | None,
    settings: ProbeOptions,
    layers: tuple[str, ...] | None,
) -> Results:
    """What the numbers of an interrupted run depend on, and where they are kept."""
    return kept_results(
        "corruption",
        {
            "model": weights_fingerprint(model.state_dict()),
            "images": images_digest(images),
            "gradient_images": None if source is None else images_digest(source),
            "options": key_part("corruption", asdict(settings)),
            "layers": layers,
        },
    )


def _plot(report: CorruptionReport, path: Path) -> None:
    write_atomic(path, draw_corruption(report))
