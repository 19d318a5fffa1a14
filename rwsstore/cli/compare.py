"""`rws compare`."""

from pathlib import Path
from typing import Any

import click

from rwsstore import corruptions, models, probes
from rwsstore.cli import options as opt
from rwsstore.cli.output import report_options, write_found
from rwsstore.errors import ConfigError
from rwsstore.progress import ConsoleReporter

_DATASET_ONLY = ("corruptions", "severity", "limit", "frost_overlays")


@click.command("compare", short_help="Compare patches: norms, cosines, gains on each other.")
@click.argument("patches", nargs=-1, metavar="[PATCH]...")
@opt.model_options
@opt.store_option
@click.option(
    "--dataset",
    metavar="NAME[:PATH]",
    help=f"Also measure what each patch gains on every corruption: {opt.DATASET_HELP}",
)
@click.option(
    "--corruptions",
    help="Measure on these: all, a group (noise, blur, weather, digital), or names: fog,snow. "
    "Default: all.",
)
@click.option("--severity", type=click.IntRange(1, 5), help="Of the corruptions. Default: 5.")
@opt.limit_option
@opt.seed_option("Of the limit, the corruptions and the permutation tests.")
@opt.frost_option
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
    dataset_only = opt.given(*_DATASET_ONLY)
    if dataset_only and options["dataset"] is None:
        raise ConfigError(f"{dataset_only[0]} goes with --dataset")
    kinds = ("norms", "cosine", "layers", *(() if options["dataset"] is None else ("gains",)))

    def compared() -> "probes.Comparison":
        model = opt.load_model(options)
        signatures = _signatures(patches, model, options["store_path"])
        similarity = probes.compare_signatures(model, signatures)
        gains = None if options["dataset"] is None else _gains(model, signatures, options)
        return probes.summarize(similarity, gains, seed=options["seed"])

    write_found(options, compared, kinds)


def _signatures(
    names: tuple[str, ...], model: "models.Classifier", store_path: Path | None
) -> "tuple[probes.Signature, ...]":
    store = opt.open_store(store_path)
    if not names:
        return probes.find_signatures(model, store)
    fitting = opt.fitting_store(store_path, model)
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"patch {name!r} is named twice")
    found = {name: fitting.get(name) for name in names}
    return probes.gather_signatures(model, found, store)


def _gains(
    model: "models.Classifier", signatures: "tuple[probes.Signature, ...]", options: dict[str, Any]
) -> "probes.Gains":
    settings = probes.GainOptions(
        corruptions=corruptions.parse_corruptions(options["corruptions"] or "all"),
        severity=options["severity"] or 5,
        seed=options["seed"],
        frost_overlays=options["frost_overlays"],
    )
    reporter = ConsoleReporter()
    images = opt.load_labelled_images(options, model, reporter)
    return probes.measure_gains(model, signatures, images, settings, progress=reporter)
