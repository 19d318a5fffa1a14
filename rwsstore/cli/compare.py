"""`rws compare`."""

__all__ = ["command"]

from pathlib import Path
from typing import Any

import click

from rwsstore.analysis import (
    GainOptions,
    Gains,
    Signature,
    check_picture,
    compare_signatures,
    comparison_text,
    draw_comparison,
    find_signatures,
    gather_signatures,
    measure_gains,
    summarize,
)
from rwsstore.cli.options import (
    DATASET_HELP,
    limit_option,
    load_model,
    load_test_images,
    model_options,
    open_store,
    store_option,
)
from rwsstore.cli.output import report_options, write_json, write_table
from rwsstore.corruptions import parse_corruptions
from rwsstore.errors import ConfigError
from rwsstore.files import write_atomic
from rwsstore.models import Classifier
from rwsstore.patches import Patch, identify
from rwsstore.progress import ConsoleReporter
from rwsstore.store import FittingStore

_DATASET_ONLY = ("corruptions", "severity", "limit", "frost_overlays")


@click.command("compare", short_help="Compare patches: norms, cosines, gains on each other.")
@click.argument("patches", nargs=-1, metavar="[PATCH]...")
@model_options
@store_option
@click.option(
    "--dataset",
    metavar="NAME[:PATH]",
    help=f"Also measure what each patch gains on every corruption: {DATASET_HELP}",
)
@click.option(
    "--corruptions",
    help="Measure on these: all, a group (noise, blur, weather, digital), or names: fog,snow. "
    "Default: all.",
)
@click.option("--severity", type=click.IntRange(1, 5), help="Of the corruptions. Default: 5.")
@limit_option
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of the limit, the corruptions and the permutation tests.",
)
@click.option(
    "--frost-overlays",
    type=click.Path(path_type=Path),
    help="Folder of frost photographs; without it frost is synthetic.",
)
@report_options(
    csv=None,
    png="heat maps: PREFIX-norms.png, -cosine.png, -layers.png and, with --dataset, -gains.png",
    prefix=True,
)
def command(patches: tuple[str, ...], **options: Any) -> None:
    """Compare patches of one model: how large they are in each layer, and how much alike.

    Without PATCH all RWS patches of the model in the store are compared, group by group. Each
    stands at its recommended strength, a composed one for the sum of its parts. A permutation test
    tells whether patches of one group (noise, blur, weather, digital) are more alike than others.

    \b
    Examples:
      rws compare --model clean.safetensors --png similarity
      rws compare fog snow frost --model clean.safetensors --dataset imagefolder:cifar10/test
    """
    given = [name for name in _DATASET_ONLY if options[name] is not None]
    if given and options["dataset"] is None:
        raise ConfigError(f"--{given[0].replace('_', '-')} goes with --dataset")
    model = load_model(options)
    signatures = _signatures(patches, model, options["store_path"])
    pictures = _pictures(options["png_path"], with_gains=options["dataset"] is not None)
    similarity = compare_signatures(model, signatures)
    gains = None if options["dataset"] is None else _gains(model, signatures, options)
    comparison = summarize(similarity, gains, seed=options["seed"])
    if pictures:
        for name, picture in draw_comparison(comparison).items():
            write_atomic(pictures[name], picture)
    if options["as_json"]:
        write_json(comparison.to_dict())
    else:
        write_table(comparison_text(comparison))


def _signatures(
    names: tuple[str, ...], model: Classifier, store_path: Path | None
) -> tuple[Signature, ...]:
    store = open_store(store_path)
    if not names:
        return find_signatures(model, store)
    fitting = FittingStore(store, identify(model.state_dict()))
    patches: dict[str, Patch] = {}
    for name in names:
        if name in patches:
            raise ConfigError(f"patch {name!r} is named twice")
        patches[name] = fitting.get(name)
    return gather_signatures(model, patches, store)


def _pictures(prefix: Path | None, *, with_gains: bool) -> dict[str, Path]:
    """Where each picture goes; refused before anything is measured."""
    if prefix is None:
        return {}
    stem = prefix.name.removesuffix(".png")
    kinds = ("norms", "cosine", "layers", *(("gains",) if with_gains else ()))
    pictures = {kind: prefix.with_name(f"{stem}-{kind}.png") for kind in kinds}
    for path in pictures.values():
        check_picture(path)
    return pictures


def _gains(model: Classifier, signatures: tuple[Signature, ...], options: dict[str, Any]) -> Gains:
    settings = GainOptions(
        corruptions=parse_corruptions(options["corruptions"] or "all"),
        severity=options["severity"] or 5,
        seed=options["seed"],
        frost_overlays=options["frost_overlays"],
    )
    reporter = ConsoleReporter()
    images = load_test_images(options, model, reporter)
    return measure_gains(model, signatures, images, settings, progress=reporter)
