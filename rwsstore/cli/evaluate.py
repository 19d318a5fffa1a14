"""`rws evaluate`."""

__all__ = ["command"]

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from rwsstore.cli.evaluate_attacks import attack_options, check_together, evaluate_under_attack
from rwsstore.cli.options import (
    dataset_option,
    limit_option,
    load_model,
    load_test_images,
    model_options,
    open_store,
    severities,
    store_option,
    transfer_option,
)
from rwsstore.cli.reporting import check_outputs, report_options, write_report
from rwsstore.corruptions import GROUPS, parse_corruptions
from rwsstore.errors import ConfigError
from rwsstore.evaluation import (
    EvaluationOptions,
    choose_patches,
    evaluate,
    find_patches,
    plot_report,
    report_table,
)
from rwsstore.models import load_checkpoint
from rwsstore.patches import BIT_WIDTHS, ModelIdentity, Patch, identify
from rwsstore.progress import ConsoleReporter


@click.command("evaluate", short_help="Measure accuracy with and without patches.")
@model_options
@store_option
@dataset_option
@click.option(
    "--corruptions",
    help="all, a group (noise, blur, weather, digital), or names: fog,snow. Default: those that "
    "the store has a patch for. In all and groups, one without a patch counts as not recovered.",
)
@click.option(
    "--severity",
    "severity_text",
    default="5",
    show_default=True,
    help="5, 3,5 or 1-5; the mean is reported, and each.",
)
@click.option(
    "--bits",
    type=click.Choice([str(bits) for bits in BIT_WIDTHS]),
    multiple=True,
    help="Quantize the patches to so many bits again; may be repeated. Default: as stored.",
)
@limit_option
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of the limit, the corruptions, the attacks and the resamples.",
)
@click.option(
    "--resamples",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="Draws of the images behind the 95 % bootstrap intervals, 40 or more; 0: no intervals.",
)
@click.option(
    "--frost-overlays",
    type=click.Path(path_type=Path),
    help="Folder of frost photographs; without it frost is synthetic.",
)
@click.option(
    "--rival",
    type=click.Path(path_type=Path),
    help="The network before folding (OUT.unfolded.safetensors): compare with BatchNorm "
    "re-estimated on the test stream.",
)
@transfer_option
@attack_options
@report_options(
    csv="a row for each corruption and severity, or for each accuracy under attack",
    png="the accuracies",
)
def command(**options: Any) -> None:
    """Measure TA and RA of the clean model, and of the clean model with each corruption's patch.

    The corrupted images follow from the seed alone. Which patch is put on for which corruption is
    an oracle's choice: the one that was made for it.

    With --attacks instead: accuracy under attacks on the images, the worst case of each image, and
    which attacks transfer from one model to another. An interrupted run goes on where it was when
    the same command is given again.

    \b
    Examples:
      rws evaluate --model clean.safetensors --dataset imagefolder:cifar10/test --bits 8 --bits 4
      rws evaluate --dataset imagefolder:cifar10/test --attacks standard --patch fog=0.5 --limit 500
    """
    check_together(click.get_current_context())
    check_outputs(options)
    if options["attacks"] is None:
        _evaluate_patches(options)
    else:
        evaluate_under_attack(options)


def _evaluate_patches(options: dict[str, Any]) -> None:
    model = load_model(options)
    rival = None if options["rival"] is None else load_checkpoint(options["rival"])
    patches = _patches(options, identify(model.state_dict()))
    settings = EvaluationOptions(
        severities=severities(options["severity_text"]),
        bits=_widths(options["bits"]),
        seed=options["seed"],
        frost_overlays=options["frost_overlays"],
        resamples=options["resamples"],
    )
    for patch in filter(None, patches.values()):  # refused before the images are read
        for bits in settings.bits:
            patch.at_bits(bits)
    reporter = ConsoleReporter()
    images = load_test_images(options, model, reporter)
    report = evaluate(
        model,
        patches,
        images,
        settings,
        rival=rival,
        allow_transfer=options["allow_transfer"],
        progress=reporter,
    )
    write_report(report, options, table=report_table, plot=plot_report)


def _patches(options: dict[str, Any], model: ModelIdentity) -> Mapping[str, Patch | None]:
    """Each corruption's patch; one that is named must have one, the rest of a group need not."""
    store, chosen = open_store(options["store_path"]), options["corruptions"]
    names = None if chosen is None else parse_corruptions(chosen)
    transfer = options["allow_transfer"]
    if names is not None and {"all", *GROUPS} & {part.strip() for part in chosen.split(",")}:
        found = find_patches(store, model, names, allow_transfer=transfer)
        if any(found.values()):
            return found
    return choose_patches(store, model, names, allow_transfer=transfer)


def _widths(given: tuple[str, ...]) -> tuple[int, ...]:
    if len(set(given)) != len(given):
        raise ConfigError(f"--bits {', '.join(given)} names a width twice")
    return tuple(int(bits) for bits in given)
