"""`rws probe bitflips`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from rwsstore import models, patches
from rwsstore.cli.options import (
    dataset_option,
    fitting_store,
    load_labelled_images,
    model_options,
    seed_option,
    store_option,
    transfer_option,
)
from rwsstore.cli.output import check_outputs, report_options, write_report
from rwsstore.cli.probe.shared import kept_results, load_probed_model, unfolded_option
from rwsstore.errors import ConfigError
from rwsstore.probes import bitflips
from rwsstore.progress import ConsoleReporter

if TYPE_CHECKING:
    from rwsstore.models import Classifier

_SAMPLE = 2000


@click.command("bitflips", short_help="Flip bits of stored weights and count what each costs.")
@model_options
@unfolded_option
@dataset_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["float32", "float16", "bfloat16"]),
    help="What the weights are stored in; they are rounded to it first. Default: float32.",
)
@click.option(
    "--patch",
    metavar="NAME[=ALPHA]",
    help="Flip the stored bits of this patch instead, its codes and scales; without ALPHA at its "
    "recommended strength.",
)
@store_option
@transfer_option
@click.option(
    "--bits",
    default="all",
    show_default=True,
    help="all, exponent, top (the exponent's highest; of integers the sign), or positions: 30,29. "
    "Bit 0 is the least significant.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    help=f"Flip so many bits, drawn evenly by seed. Default: {_SAMPLE}.",
)
@click.option("--layer", help="Flip the chosen bits of all of this layer: its number, or conv2.")
@click.option(
    "--images",
    "limit",
    type=click.IntRange(min=1),
    default=500,
    show_default=True,
    help="Measure on so many images, chosen by seed, as many of each class.",
)
@seed_option("Of the sample, the images and the intervals.", most=2**62)
@click.option(
    "--resamples",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="Draws of the sampled bits behind the 95 % intervals, 40 or more; 0: no intervals.",
)
@report_options(csv="a row for each flip", png="drops by decile, bit and layer")
def command(**options: Any) -> None:
    """Flip bits of the stored weights, one at a time, and measure what each costs.

    RAD is the part of the accuracy that a flip takes away; the drop above chance is the part of
    what lies above guessing. Images whose logits are not finite count as wrong. The model is
    copied and never written to. An interrupted run goes on where it was when the same command is
    given again.

    \b
    Examples:
      rws probe bitflips --dataset imagefolder:cifar10 --bits exponent --sample 5000 --png a.png
      rws probe bitflips --dataset imagefolder:cifar10 --format bfloat16 --bits 14 --layer 1
      rws probe bitflips --dataset imagefolder:cifar10 --patch fog --csv fog.csv
    """
    from rwsstore.measure import Resampling

    _check(options)
    check_outputs(options)
    model = load_probed_model(options)
    memory, stored = _memory(model, options)
    sites = _sites(model, memory, options)
    resamples = 0 if options["layer"] is not None else options["resamples"]
    resampling = Resampling(resamples=resamples, seed=options["seed"])
    reporter = ConsoleReporter()
    images = load_labelled_images(options, model, reporter)
    results = kept_results(
        "bitflips",
        images,
        model=models.weights_fingerprint(model.state_dict()),
        stored=stored,
        sites={name: options[name] for name in ("bits", "layer", "seed")} | {"count": len(sites)},
    )
    found = bitflips.survey(memory, images, sites, results=results, progress=reporter)
    report = bitflips.BitflipReport.of(found, dataset=images.name, resampling=resampling)
    write_report(report, options, table=bitflips.bitflip_text, draw=bitflips.draw_bitflips)
    results.forget()


def _check(options: Mapping[str, Any]) -> None:
    if options["patch"] is not None and options["form"] is not None:
        raise ConfigError("--format is of weights; a patch is surveyed as it is stored (--patch)")
    if options["patch"] is None and (options["store_path"] or options["allow_transfer"]):
        raise ConfigError("--store and --allow-transfer go with --patch")
    if options["layer"] is not None and options["sample"] is not None:
        raise ConfigError("--layer takes all of a layer: leave --sample out, or --layer")


def _memory(
    model: "Classifier", options: Mapping[str, Any]
) -> tuple["bitflips.Memory", dict[str, Any]]:
    """What bits flip in, and that in JSON."""
    if options["patch"] is None:
        form = options["form"] or "float32"
        return bitflips.StoredWeights(model, form), {"format": form}
    wanted = patches.parse_request(options["patch"])
    if len(wanted) != 1:
        raise ConfigError(f"--patch {options['patch']} names {len(wanted)} patches; expected one")
    ((name, alpha),) = wanted.items()
    patch = fitting_store(options["store_path"], model).get(name)
    memory = bitflips.StoredPatch(model, patch, alpha, allow_transfer=options["allow_transfer"])
    return memory, {"patch": patch.digest, "alpha": alpha}


def _sites(
    model: "Classifier", memory: "bitflips.Memory", options: Mapping[str, Any]
) -> "bitflips.Sites":
    bits, layer = options["bits"], options["layer"]
    if layer is None:
        count = options["sample"] or _SAMPLE
        return bitflips.sample_sites(memory, count, bits=bits, seed=options["seed"])
    names = models.parse_layers(model, layer)
    if len(names) != 1:
        raise ConfigError(f"--layer {layer} names {len(names)} layers; expected one")
    return bitflips.layer_sites(memory, names[0], bits=bits)
