"""`rws probe corruption`."""

import math
from dataclasses import asdict

import click

from rwsstore import training
from rwsstore.canonical import key_part
from rwsstore.cli.options import limit_option, seed_option
from rwsstore.cli.probe.rows import Bench, register
from rwsstore.errors import ConfigError
from rwsstore.probes import parameter_corruption

_DRAWS = 3
"""Random corruptions where all parameters are probed as one group."""


@register(
    "corruption",
    "Corrupt parameters on purpose: by type, by layer, over ε.",
    click.option(
        "--by",
        type=click.Choice(["table", "type", "layer", "module"]),
        default="table",
        show_default=True,
        help="Corrupt all parameters together, random against gradient-based; or one component "
        "type, one layer or one module at a time.",
    ),
    click.option(
        "--layers", help="Only these: 1-3, 1,4 or names (conv2). With --by table or layer."
    ),
    click.option(
        "--epsilon",
        default="0.01,0.1,1,10",
        show_default=True,
        metavar="NUMBERS",
        help="ε, the norm of a corruption.",
    ),
    click.option(
        "--p", "norm", default="2", show_default=True, metavar="P", help="Of that norm: 1 to inf."
    ),
    click.option(
        "--n",
        "numbers",
        default="all",
        show_default=True,
        metavar="NUMBERS",
        help="How many parameters are corrupted at most: 10,100,all. A group with fewer is "
        "corrupted whole.",
    ),
    click.option(
        "--seeds",
        "draws",
        type=click.IntRange(0, 1000),
        help=f"Random corruptions for each ε and n. Default: {_DRAWS} with --by table, else 0.",
    ),
    click.option(
        "--gradient-images",
        type=click.IntRange(min=1),
        help="Take gradient and loss changes on so many training images, as many of each class. "
        "Default: on the test images.",
    ),
    limit_option,
    seed_option("Of the limits and of the first random corruption.", most=2**62),
    csv="a row for each group, n and ε",
    png="curves, or heat maps",
    place=1,
)
def corruption_report(bench: Bench) -> "parameter_corruption.CorruptionReport":
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
    options, draws = bench.options, bench.options["draws"]
    settings = parameter_corruption.ProbeOptions(
        epsilons=tuple(sorted(_number(part, "ε") for part in options["epsilon"].split(","))),
        by=options["by"],
        p=_number(options["norm"], "p"),
        ns=tuple(_count(part) for part in options["numbers"].split(",")),
        draws=(_DRAWS if options["by"] == "table" else 0) if draws is None else draws,
        seed=options["seed"],
    )
    layers, images, source = bench.layers, bench.images(), None
    if options["gradient_images"] is not None:
        source = bench.images(limit=options["gradient_images"], split="train")
    results = bench.results(
        images,
        gradient_images=None if source is None else training.images_digest(source),
        options=key_part("corruption", asdict(settings)),
        layers=layers,
    )
    return parameter_corruption.probe_corruption(
        bench.model,
        images.images,
        images.labels,
        settings,
        gradient_of=None if source is None else (source.images, source.labels),
        layers=layers,
        name=images.name,
        results=results,
        progress=bench.progress,
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
