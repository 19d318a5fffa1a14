"""`rws probe filtering`."""

import click

from rwsstore import measure
from rwsstore.cli.options import seed_option
from rwsstore.cli.probe.rows import Bench, register
from rwsstore.probes import filtering


@register(
    "filtering",
    "Filter weights away: fragile, robust and antifragile layers.",
    click.option("--layers", help="Only these: 1-3, 1,4 or names (conv2). Default: all."),
    click.option(
        "--filters",
        default="all",
        show_default=True,
        help="h1 (high-pass), h2 (low-pass), h3 (pulse), or several: h1,h3.",
    ),
    click.option(
        "--thresholds",
        type=click.IntRange(min=3),
        default=25,
        show_default=True,
        help="For each layer and filter; an odd number.",
    ),
    click.option(
        "--epsilon",
        type=float,
        default=0.015,
        show_default=True,
        help="ε of FGSM, for images in [0, 1].",
    ),
    click.option(
        "--score",
        "decides",
        type=click.Choice(["s1", "s2", "s3"]),
        default="s2",
        show_default=True,
        help="The score whose mean over the filters is the verdict: s1 on clean images, s2 under "
        "FGSM, s3 the difference.",
    ),
    click.option(
        "--tolerance",
        type=float,
        default=0.1,
        show_default=True,
        help="A score of at most so much to either side of 0 is robust.",
    ),
    click.option(
        "--as-published",
        is_flag=True,
        help="Take accuracies as they are, as the paper does, instead of what is above chance.",
    ),
    click.option(
        "--limit",
        type=click.IntRange(min=1),
        default=200,
        show_default=True,
        help="Use only so many images, chosen by seed, as many of each class.",
    ),
    seed_option("Of the limit and of the intervals.", most=2**62),
    click.option(
        "--resamples",
        type=click.IntRange(min=0),
        default=1000,
        show_default=True,
        help="Draws of the images for the 95 % intervals; 0: no intervals.",
    ),
    csv="the scores of each layer and filter",
    png="PREFIX-curves.png and PREFIX-map.png",
    pictures=("curves", "map"),
    place=3,
)
def filtering_report(bench: Bench) -> "filtering.FilteringReport":
    """Set ever more of a layer's weights to zero and see whether accuracy falls faster than they.

    Layer by layer and filter by filter, on clean images and under FGSM, which is made anew for
    every filtered network. A layer with a score below 0 is fragile, about 0 robust, above 0
    antifragile. An interrupted run goes on where it was when the same command is given again.

    \b
    Examples:
      rws probe filtering --dataset imagefolder:cifar10 --png vgg
      rws probe filtering --dataset imagefolder:cifar10 --layers 1-3 --filters h1 --csv first.csv
    """
    from rwsstore.cpu import ComputeMode

    options = bench.options
    measuring = filtering.FilteringOptions(
        epsilon=options["epsilon"],
        filters=filtering.parse_filters(options["filters"]),
        thresholds=options["thresholds"],
    )
    scoring = filtering.ScoringOptions(
        above_chance=not options["as_published"],
        tolerance=options["tolerance"],
        decides=options["decides"],
        resampling=measure.Resampling(resamples=options["resamples"], seed=options["seed"]),
    )
    layers, images = bench.layers, bench.images()
    curves = filtering.measure_curves(
        ComputeMode(channels_last=True).prepare(bench.model),  # the same sums, faster on a CPU
        images.images,
        images.labels,
        measuring,
        layers=layers,
        results=bench.results(images, epsilon=measuring.epsilon, thresholds=measuring.thresholds),
        progress=bench.progress,
    )
    return filtering.FilteringReport.of(curves, scoring, dataset=images.name)
