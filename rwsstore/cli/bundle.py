"""`rws bundle`."""

from pathlib import Path

import click
import platformdirs

from rwsstore import data, making, measure
from rwsstore.canonical import canonical_json, sha256_hex
from rwsstore.cli.options import DATASET_HELP, json_option
from rwsstore.cli.output import write_result
from rwsstore.progress import ConsoleReporter


@click.command("bundle", short_help="Train a model and all its patches from one file.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    required=True,
    help="TOML file with every parameter.",
)
@click.option("--dataset", required=True, metavar="NAME[:PATH]", help=DATASET_HELP)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder of the bundle; new."
)
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    help="Folder for what is kept between runs. Default: one for this run in the user's cache.",
)
@click.option(
    "--measure-again",
    is_flag=True,
    help="Measure the compute formats of a finished bundle again, and rewrite its card alone.",
)
@json_option
def command(
    config: Path,
    dataset: str,
    out: Path,
    work: Path | None,
    measure_again: bool,
    as_json: bool,
) -> None:
    """Train a clean model, extract its patches, measure both once on the test images.

    Writes the model, a read-only store of the patches and a model card. Everything is chosen on
    images split off the training set. An interrupted run goes on where it was: run the same
    command again. The network before folding and the patches at 32 bits stay in the work folder.

    \b
    Example:
      rws bundle --config rwsstore/bundle/cifar10.toml --dataset imagefolder:cifar10 --out mine
    """
    settings = making.read_config(config)
    reporter = ConsoleReporter()
    size = settings.network.input_size
    train = data.load_images(dataset, "train", size=size, progress=reporter)
    test = data.load_images(dataset, "test", size=size, progress=reporter)
    if work is None:  # a folder that two bundles never share
        key = canonical_json([settings.model_dump_json(), str(out.absolute())])
        cache = platformdirs.user_cache_path("rwsstore", appauthor=False)
        work = cache / "bundles" / sha256_hex(key.encode())[:16]
    card = making.build_bundle(
        settings, train, test, out, work=work, measure_again=measure_again, progress=reporter
    )
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    write_result(
        as_json,
        card.model_dump(mode="json"),
        measure.report_table(card.report),
        f"wrote {out}: {len(card.patches)} patches, {size:,} bytes altogether",
        f"read {out / 'CARD.md'}, and use it: rws evaluate --model {out / 'model.safetensors'} "
        f"--store {out / 'store'} --dataset ...",
    )
