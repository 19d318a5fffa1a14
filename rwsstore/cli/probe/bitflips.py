"""`rws probe bitflips`."""

__all__ = ["command"]

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from rwsstore.analysis.bitflips import (
    BitflipReport,
    Memory,
    Sites,
    StoredPatch,
    StoredWeights,
    bitflip_text,
    draw_bitflips,
    layer_sites,
    sample_sites,
    survey,
)
from rwsstore.cli.options import (
    dataset_option,
    load_test_images,
    model_options,
    open_store,
    store_option,
    transfer_option,
)
from rwsstore.cli.output import check_outputs, report_options, write_report
from rwsstore.cli.probe.shared import kept_results, load_probed_model, unfolded_option
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError
from rwsstore.evaluation import Resampling
from rwsstore.files import Results, write_atomic
from rwsstore.models import Classifier, parse_layers, weights_fingerprint
from rwsstore.patches import identify, parse_request
from rwsstore.progress import ConsoleReporter
from rwsstore.store import FittingStore
from rwsstore.training.resume import images_digest

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
@click.option(
    "--seed",
    type=click.IntRange(0, 2**62),
    default=0,
    show_default=True,
    help="Of the sample, the images and the intervals.",
)
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
    _check(options)
    check_outputs(options)
    model = load_probed_model(options)
    memory, stored = _memory(model, options)
    sites = _sites(model, memory, options)
    resamples = 0 if options["layer"] is not None else options["resamples"]
    resampling = Resampling(resamples=resamples, seed=options["seed"])
    reporter = ConsoleReporter()
    images = load_test_images(options, model, reporter)
    drawn = {name: options[name] for name in ("bits", "layer", "seed")}
    results = _results(model, images, stored, {**drawn, "count": len(sites)})
    found = survey(memory, images, sites, results=results, progress=reporter)
    report = BitflipReport.of(found, dataset=images.name, resampling=resampling)
    write_report(report, options, table=bitflip_text, plot=_plot)
    results.forget()


def _check(options: Mapping[str, Any]) -> None:
    if options["patch"] is not None and options["form"] is not None:
        raise ConfigError("--format is of weights; a patch is surveyed as it is stored (--patch)")
    if options["patch"] is None and (options["store_path"] or options["allow_transfer"]):
        raise ConfigError("--store and --allow-transfer go with --patch")
    if options["layer"] is not None and options["sample"] is not None:
        raise ConfigError("--layer takes all of a layer: leave --sample out, or --layer")


def _memory(model: Classifier, options: Mapping[str, Any]) -> tuple[Memory, dict[str, Any]]:
    """What bits flip in, and that in JSON."""
    if options["patch"] is None:
        form = options["form"] or "float32"
        return StoredWeights(model, form), {"format": form}
    wanted = parse_request(options["patch"])
    if len(wanted) != 1:
        raise ConfigError(f"--patch {options['patch']} names {len(wanted)} patches; expected one")
    ((name, alpha),) = wanted.items()
    store = FittingStore(open_store(options["store_path"]), identify(model.state_dict()))
    patch = store.get(name)
    memory = StoredPatch(model, patch, alpha, allow_transfer=options["allow_transfer"])
    return memory, {"patch": patch.digest, "alpha": alpha}


def _sites(model: Classifier, memory: Memory, options: Mapping[str, Any]) -> Sites:
    bits, layer = options["bits"], options["layer"]
    if layer is None:
        return sample_sites(memory, options["sample"] or _SAMPLE, bits=bits, seed=options["seed"])
    names = parse_layers(model, layer)
    if len(names) != 1:
        raise ConfigError(f"--layer {layer} names {len(names)} layers; expected one")
    return layer_sites(memory, names[0], bits=bits)


def _results(
    model: Classifier, images: ImageSet, stored: Mapping[str, Any], sites: Mapping[str, Any]
) -> Results:
    """What the counts of an interrupted run depend on, and where they are kept."""
    return kept_results(
        "bitflips",
        {
            "model": weights_fingerprint(model.state_dict()),
            "images": images_digest(images),
            "stored": dict(stored),
            "sites": dict(sites),
        },
    )


def _plot(report: BitflipReport, path: Path) -> None:
    write_atomic(path, draw_bitflips(report))
