"""`rws probe criticality`."""

from collections.abc import Mapping
from typing import Any

import click

from rwsstore import models
from rwsstore.cli.options import seed_option
from rwsstore.cli.probe.rows import Bench, register
from rwsstore.errors import ConfigError
from rwsstore.probes import criticality

_LIMIT, _WITH_BATCHES = 100, 500
_COMPARED = 5


@register(
    "criticality",
    "Which layers make features weak under attack?",
    click.option(
        "--epsilon",
        type=float,
        default=0.03,
        show_default=True,
        help="ε of PGD, L∞, for images in [0, 1].",
    ),
    click.option(
        "--steps", type=click.IntRange(min=1), default=10, show_default=True, help="Steps of PGD."
    ),
    click.option(
        "--step-size",
        default="0.007",
        show_default=True,
        help="Length of a step; none: 2.5·ε/steps.",
    ),
    click.option(
        "--k",
        type=click.IntRange(min=1),
        help="So many layers are chosen. Default: 5 % of them, at least 1.",
    ),
    click.option(
        "--limit",
        type=click.IntRange(min=1),
        help="Use only so many images, chosen by seed, as many of each class. Default: "
        f"{_LIMIT}; with --stability {_WITH_BATCHES}.",
    ),
    seed_option("Of the limit, of the attack's random starts and of the draws.", most=2**62),
    click.option(
        "--stability",
        is_flag=True,
        help=f"Also draw batches of these images and compare the top --k of each, or its top "
        f"{_COMPARED}, with that of all images.",
    ),
    click.option(
        "--batches",
        default="10,30,50,100",
        show_default=True,
        help="Sizes of those batches, all below the number of images.",
    ),
    click.option(
        "--draws",
        type=click.IntRange(min=2),
        default=20,
        show_default=True,
        help="Batches of each size.",
    ),
    csv="a row for each layer",
    png="a bar for each layer",
    place=4,
)
def criticality_report(bench: Bench) -> "criticality.CriticalityReport":
    """Find the layers that make features weak under attack: those that CLAT trains.

    All images are attacked once, by PGD on the output. A convolution's weakness is how far that
    moves what it gives out, its criticality index that over the weakness of the convolution before
    it. Convolutions on shortcuts are left out. An interrupted run goes on where it was when the
    same command is given again.

    \b
    Examples:
      rws probe criticality --dataset imagefolder:cifar10 --png layers.png
      rws probe criticality --dataset imagefolder:cifar10 --stability --batches 10,50 --k 3
    """
    from rwsstore.cpu import ComputeMode

    options, seed = bench.options, bench.options["seed"]
    measuring, sizes = _measuring(options), _sizes(options)
    layers = len(models.main_path_convolutions(bench.model))
    if (options["k"] or 1) > layers:
        raise ConfigError(f"--k is {options['k']}; the model has {layers} layers to choose from")
    images = bench.images(limit=options["limit"] or (_WITH_BATCHES if sizes else _LIMIT))
    drawn = {"draws": options["draws"], "k": options["k"] or min(_COMPARED, layers)}
    if sizes:
        criticality.check_draws(sizes, **drawn, images=len(images), layers=layers)
    attack = {name: getattr(measuring, name) for name in ("epsilon", "steps", "step_size")}
    results = bench.results(images, **attack, seed=seed)
    found = criticality.measure_weaknesses(
        ComputeMode(channels_last=True).prepare(bench.model),  # the same sums, faster on a CPU
        images.images, images.labels, measuring, seed=seed, results=results,
        progress=bench.progress,
    )  # fmt: skip
    stability = None
    if sizes:
        stability = criticality.stability_of(found, images.labels, sizes=sizes, **drawn, seed=seed)
    return criticality.CriticalityReport.of(
        bench.model, found.criticality(), measuring, k=options["k"], seed=seed,
        dataset=images.name, stability=stability,
    )  # fmt: skip


def _measuring(options: Mapping[str, Any]) -> "criticality.CriticalityOptions":
    text = options["step_size"]
    try:
        size = None if text == "none" else float(text)
    except ValueError:
        raise ConfigError(f"--step-size is {text!r}; expected a number, or none") from None
    return criticality.CriticalityOptions(
        epsilon=options["epsilon"], steps=options["steps"], step_size=size
    )


def _sizes(options: Mapping[str, Any]) -> tuple[int, ...]:
    """Sizes of batches; none where no stability is asked for."""
    if not options["stability"]:
        return ()
    try:
        return tuple(int(item) for item in options["batches"].split(","))
    except ValueError:
        raise ConfigError(
            f"--batches is {options['batches']!r}; expected whole numbers, as in 10,30,50"
        ) from None
