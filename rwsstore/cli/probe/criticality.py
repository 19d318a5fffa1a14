"""`rws probe criticality`."""

from collections.abc import Mapping
from typing import Any

import click

from rwsstore import models
from rwsstore.cli.options import (
    dataset_option,
    load_labelled_images,
    model_options,
    seed_option,
)
from rwsstore.cli.output import check_outputs, report_options, write_report
from rwsstore.cli.probe.shared import kept_results, load_probed_model, unfolded_option
from rwsstore.drawing import check_picture
from rwsstore.errors import ConfigError
from rwsstore.probes import criticality
from rwsstore.progress import ConsoleReporter

_LIMIT, _WITH_BATCHES = 100, 500
_COMPARED = 5


@click.command("criticality", short_help="Which layers make features weak under attack?")
@model_options
@unfolded_option
@dataset_option
@click.option(
    "--epsilon",
    type=float,
    default=0.03,
    show_default=True,
    help="ε of PGD, L∞, for images in [0, 1].",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Steps of PGD.",
)
@click.option(
    "--step-size",
    default="0.007",
    show_default=True,
    help="Length of a step; none: 2.5·ε/steps.",
)
@click.option(
    "--k",
    type=click.IntRange(min=1),
    help="So many layers are chosen. Default: 5 % of them, at least 1.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="Use only so many images, chosen by seed, as many of each class. Default: "
    f"{_LIMIT}; with --stability {_WITH_BATCHES}.",
)
@seed_option("Of the limit, of the attack's random starts and of the draws.", most=2**62)
@click.option(
    "--stability",
    is_flag=True,
    help=f"Also draw batches of these images and compare the top --k of each, or its top "
    f"{_COMPARED}, with that of all images.",
)
@click.option(
    "--batches",
    default="10,30,50,100",
    show_default=True,
    help="Sizes of those batches, all below the number of images.",
)
@click.option(
    "--draws",
    type=click.IntRange(min=2),
    default=20,
    show_default=True,
    help="Batches of each size.",
)
@report_options(csv="a row for each layer", png="a bar for each layer")
def command(**options: Any) -> None:
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

    check_outputs(options)
    if options["png_path"] is not None:
        check_picture(options["png_path"])
    measuring, sizes = _measuring(options), _sizes(options)
    model = load_probed_model(options)
    layers = len(models.main_path_convolutions(model))
    if (options["k"] or 1) > layers:
        raise ConfigError(f"--k is {options['k']}; the model has {layers} layers to choose from")
    reporter = ConsoleReporter()
    limit = options["limit"] or (_WITH_BATCHES if sizes else _LIMIT)
    images = load_labelled_images({**options, "limit": limit}, model, reporter)
    drawn = {"draws": options["draws"], "k": options["k"] or min(_COMPARED, layers)}
    if sizes:
        criticality.check_draws(sizes, **drawn, images=len(images), layers=layers)
    results = kept_results(
        "criticality",
        images,
        model=models.weights_fingerprint(model.state_dict()),
        epsilon=measuring.epsilon,
        steps=measuring.steps,
        step_size=measuring.step_size,
        seed=options["seed"],
    )
    found = criticality.measure_weaknesses(
        ComputeMode(channels_last=True).prepare(model),  # the same sums, faster on a CPU
        images.images, images.labels, measuring, seed=options["seed"], results=results,
        progress=reporter,
    )  # fmt: skip
    stability = None
    if sizes:
        stability = criticality.stability_of(
            found, images.labels, sizes=sizes, **drawn, seed=options["seed"]
        )
    report = criticality.CriticalityReport.of(
        model, found.criticality(), measuring, k=options["k"], seed=options["seed"],
        dataset=images.name, stability=stability,
    )  # fmt: skip
    write_report(
        report, options, table=criticality.criticality_text, draw=criticality.draw_criticality
    )
    results.forget()


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
