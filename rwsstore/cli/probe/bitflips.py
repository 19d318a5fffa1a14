"""`rws probe bitflips`."""

from typing import Any

import click

from rwsstore import measure, models, patches
from rwsstore.cli.options import fitting_store, seed_option, store_option, transfer_option
from rwsstore.cli.probe.rows import Bench, register
from rwsstore.errors import ConfigError
from rwsstore.probes import bitflips

_SAMPLE = 2000


@register(
    "bitflips",
    "Flip bits of stored weights and count what each costs.",
    click.option(
        "--format",
        "form",
        type=click.Choice(["float32", "float16", "bfloat16"]),
        help="What the weights are stored in; they are rounded to it first. Default: float32.",
    ),
    click.option(
        "--patch",
        metavar="NAME[=ALPHA]",
        help="Flip the stored bits of this patch instead, its codes and scales; without ALPHA at "
        "its recommended strength.",
    ),
    store_option,
    transfer_option,
    click.option(
        "--bits",
        default="all",
        show_default=True,
        help="all, exponent, top (the exponent's highest; of integers the sign), or positions: "
        "30,29. Bit 0 is the least significant.",
    ),
    click.option(
        "--sample",
        type=click.IntRange(min=1),
        help=f"Flip so many bits, drawn evenly by seed. Default: {_SAMPLE}.",
    ),
    click.option(
        "--layer", help="Flip the chosen bits of all of this layer: its number, or conv2."
    ),
    click.option(
        "--images",
        "limit",
        type=click.IntRange(min=1),
        default=500,
        show_default=True,
        help="Measure on so many images, chosen by seed, as many of each class.",
    ),
    seed_option("Of the sample, the images and the intervals.", most=2**62),
    click.option(
        "--resamples",
        type=click.IntRange(min=0),
        default=1000,
        show_default=True,
        help="Draws of the sampled bits behind the 95 % intervals, 40 or more; 0: no intervals.",
    ),
    csv="a row for each flip",
    png="drops by decile, bit and layer",
    place=2,
)
def bitflips_report(bench: Bench) -> "bitflips.BitflipReport":
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
    options = bench.options
    if options["patch"] is not None and options["form"] is not None:
        raise ConfigError("--format is of weights; a patch is surveyed as it is stored (--patch)")
    if options["patch"] is None and (options["store_path"] or options["allow_transfer"]):
        raise ConfigError("--store and --allow-transfer go with --patch")
    if options["layer"] is not None and options["sample"] is not None:
        raise ConfigError("--layer takes all of a layer: leave --sample out, or --layer")
    memory, stored = _memory(bench)
    if options["layer"] is None:
        count = options["sample"] or _SAMPLE
        sites = bitflips.sample_sites(memory, count, bits=options["bits"], seed=options["seed"])
    else:
        names = models.parse_layers(bench.model, options["layer"])
        if len(names) != 1:
            raise ConfigError(f"--layer {options['layer']} names {len(names)} layers; expected one")
        sites = bitflips.layer_sites(memory, names[0], bits=options["bits"])
    resamples = 0 if options["layer"] is not None else options["resamples"]
    resampling = measure.Resampling(resamples=resamples, seed=options["seed"])
    images = bench.images()
    chosen = {name: options[name] for name in ("bits", "layer", "seed")}
    results = bench.results(images, stored=stored, sites={**chosen, "count": len(sites)})
    found = bitflips.survey(memory, images, sites, results=results, progress=bench.progress)
    return bitflips.BitflipReport.of(found, dataset=images.name, resampling=resampling)


def _memory(bench: Bench) -> "tuple[bitflips.Memory, dict[str, Any]]":
    """What bits flip in, and that in JSON."""
    options, model = bench.options, bench.model
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
