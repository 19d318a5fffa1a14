"""`rws probe filtering`."""

__all__ = ["command"]

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from rwsstore.analysis.filtering import (
    SCORES,
    FilteringOptions,
    FilteringReport,
    ScoringOptions,
    draw_filtering,
    filtering_text,
    measure_curves,
    parse_filters,
)
from rwsstore.cli.options import dataset_option, load_test_images, model_options
from rwsstore.cli.output import check_outputs, report_options, write_report
from rwsstore.cli.probe.shared import kept_results, load_probed_model, unfolded_option
from rwsstore.cpu import ComputeMode
from rwsstore.data import ImageSet
from rwsstore.drawing import check_picture
from rwsstore.evaluation import Resampling
from rwsstore.files import Results, write_atomic
from rwsstore.models import Classifier, parse_layers, weights_fingerprint
from rwsstore.progress import ConsoleReporter
from rwsstore.training.resume import images_digest

_DEFAULTS, _SCORING = FilteringOptions(), ScoringOptions()


@click.command("filtering", short_help="Filter weights away: which layers are fragile?")
@model_options
@unfolded_option
@dataset_option
@click.option("--layers", help="Only these: 1-3, 1,4 or names (conv2). Default: all.")
@click.option(
    "--filters",
    default="all",
    show_default=True,
    help="h1 (high-pass), h2 (low-pass), h3 (pulse), or several: h1,h3.",
)
@click.option(
    "--thresholds",
    type=click.IntRange(min=3),
    default=_DEFAULTS.thresholds,
    show_default=True,
    help="For each layer and filter; an odd number.",
)
@click.option(
    "--epsilon",
    type=float,
    default=_DEFAULTS.epsilon,
    show_default=True,
    help="ε of FGSM, for images in [0, 1].",
)
@click.option(
    "--score",
    "decides",
    type=click.Choice(SCORES),
    default=_SCORING.decides,
    show_default=True,
    help="The score whose mean over the filters is the verdict: s1 on clean images, s2 under "
    "FGSM, s3 the difference.",
)
@click.option(
    "--tolerance",
    type=float,
    default=_SCORING.tolerance,
    show_default=True,
    help="A score of at most so much to either side of 0 is robust.",
)
@click.option(
    "--as-published",
    is_flag=True,
    help="Take accuracies as they are, as the paper does, instead of what is above chance.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="Use only so many images, chosen by seed, as many of each class.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**62),
    default=0,
    show_default=True,
    help="Of the limit and of the intervals.",
)
@click.option(
    "--resamples",
    type=click.IntRange(min=0),
    default=_SCORING.resampling.resamples,
    show_default=True,
    help="Draws of the images for the 95 % intervals; 0: no intervals.",
)
@report_options(
    csv="the scores of each layer and filter",
    png="PREFIX-curves.png and PREFIX-map.png",
    prefix=True,
)
def command(**options: Any) -> None:
    """Set ever more of a layer's weights to zero and see whether accuracy falls faster than they.

    Layer by layer and filter by filter, on clean images and under FGSM, which is made anew for
    every filtered network. A layer with a score below 0 is fragile, about 0 robust, above 0
    antifragile. An interrupted run goes on where it was when the same command is given again.

    \b
    Examples:
      rws probe filtering --dataset imagefolder:cifar10 --png vgg
      rws probe filtering --dataset imagefolder:cifar10 --layers 1-3 --filters h1 --csv first.csv
    """
    check_outputs(options)
    for path in _pictures(options["png_path"]).values():
        check_picture(path)
    measuring, scoring = _measuring(options), _scoring(options)
    model = load_probed_model(options)
    layers = None if options["layers"] is None else parse_layers(model, options["layers"])
    reporter = ConsoleReporter()
    images = load_test_images(options, model, reporter)
    results = _results(model, images, measuring)
    curves = measure_curves(
        ComputeMode(channels_last=True).prepare(model),  # the same sums, faster on a CPU
        images.images,
        images.labels,
        measuring,
        layers=layers,
        results=results,
        progress=reporter,
    )
    report = FilteringReport.of(curves, scoring, dataset=images.name)
    write_report(report, options, table=filtering_text, plot=_plot)
    results.forget()


def _measuring(options: Mapping[str, Any]) -> FilteringOptions:
    return FilteringOptions(
        epsilon=options["epsilon"],
        filters=parse_filters(options["filters"]),
        thresholds=options["thresholds"],
    )


def _scoring(options: Mapping[str, Any]) -> ScoringOptions:
    return ScoringOptions(
        above_chance=not options["as_published"],
        tolerance=options["tolerance"],
        decides=options["decides"],
        resampling=Resampling(resamples=options["resamples"], seed=options["seed"]),
    )


def _results(model: Classifier, images: ImageSet, measuring: FilteringOptions) -> Results:
    """What the numbers of an interrupted run depend on, and where they are kept."""
    return kept_results(
        "filtering",
        {
            "model": weights_fingerprint(model.state_dict()),
            "images": images_digest(images),
            "epsilon": measuring.epsilon,
            "thresholds": measuring.thresholds,
        },
    )


def _pictures(prefix: Path | None) -> dict[str, Path]:
    """Where each picture goes."""
    if prefix is None:
        return {}
    stem = prefix.name.removesuffix(".png")
    return {kind: prefix.with_name(f"{stem}-{kind}.png") for kind in ("curves", "map")}


def _plot(report: FilteringReport, prefix: Path) -> None:
    paths = _pictures(prefix)
    for kind, picture in draw_filtering(report).items():
        write_atomic(paths[kind], picture)
