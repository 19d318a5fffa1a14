"""`rws card` and `rws bench`: in which formats a model may be computed, and how fast it is."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from rwsstore import bundled, data, models, patches, runtime, speed
from rwsstore.cli import options as opt
from rwsstore.cli.output import write_result
from rwsstore.errors import ConfigError, MissingFileError
from rwsstore.progress import SILENT, ConsoleReporter, Reporter
from rwsstore.tables import Column, Table

_PATCHES = 32
"""Most patches that `rws bench` measures with."""


@click.command("card")
@click.argument("checkpoint", type=opt.PATH)
@opt.dataset_option
@opt.store_option
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=2000,
    help="Most images to compare, chosen by seed, as many of each class.",
)
@opt.seed_option("Of the limit.")
@opt.json_option
def command(checkpoint: Path, **options: Any) -> None:
    """Measure which compute formats CHECKPOINT may be served in, and write its card.

    A service computes faster with weights packed for the processor, and on some in bfloat16. For
    each such format this counts the test images on which the model names the same class as in
    float32: the clean model, and with each of the store's patches for it at its recommended
    strength. A format is offered if all of them agree on 99.5 % of the images or more, and there
    are at least 200 images.

    The card is written beside the checkpoint, clean.card.json beside clean.safetensors, and is of
    these weights alone. `rws serve` reads it and takes the fastest of the formats offered; without
    a card it computes in float32. `rws train` writes one of the clean model; run this once its
    patches are made.

    \b
    Examples:
      rws card clean.safetensors --dataset imagefolder:cifar10
      rws card clean.safetensors --dataset cifar10:data --store patches --limit 10000
    """
    if str(checkpoint) == bundled.BUNDLED:
        raise ConfigError(
            "the bundled model has its card already: rws serve offers its formats "
            "(docs/operate/compute-formats.md)"
        )
    reporter = ConsoleReporter()
    model = models.load_clean_model(checkpoint)
    images = opt.load_labelled_images(options, model, reporter)
    store = opt.fitting_store(options["store_path"], model)
    requests = [{entry.name: None} for entry in store.list()]
    card = measured_card(model, images, patches=store, requests=requests, progress=reporter)
    written = models.write_model_card(checkpoint, card)
    offered = [one.name for one in card.formats if one.offered]
    write_result(
        options["as_json"],
        {"written": str(written), "offered": offered, **card.model_dump(mode="json")},
        formats_table(card.formats),
        f"wrote {written}",
        f"next: rws serve --model {checkpoint}",
    )


def measured_card(
    model: "models.Classifier",
    images: "data.ImageSet",
    *,
    patches: "runtime.PatchSource | None" = None,
    requests: "Sequence[patches.Request]" = (),
    progress: Reporter = SILENT,
) -> "models.ModelCard":
    """Measure a clean model, alone and with each patch set, in every compute format.

    Args:
        model: with its BatchNorm folded.
        images: that it was not trained on.
        patches: where the patches are found.
        requests: patch sets that are to agree too.
        progress: where to report.
    """
    formats = runtime.measure_agreement(
        model, images.images, patches=patches, requests=requests, progress=progress
    )
    weights = models.weights_fingerprint(model.state_dict())
    return models.ModelCard(weights=weights, dataset=images.name, formats=formats)


def formats_table(formats: "Sequence[models.FormatAgreement]") -> Table:
    """The formats, how far each agrees with float32, and whether it is offered."""
    sets = max((one.patch_sets for one in formats), default=0)
    images = max((one.images for one in formats), default=0)
    title = (
        f"agreement with float32 on {images:,} images, clean model and {sets} patch sets; offered "
        f"from {models.LEAST_AGREEMENT:g} % on, with {models.FEWEST_IMAGES} images or more"
    )
    columns = (
        Column("format", "name", left=True),
        Column("clean\nmodel %", "top1_agreement", ".2f"),
        Column("lowest %", "lowest_agreement", ".2f"),
        Column("lowest with", lambda one: one.lowest_with or "clean model", left=True),
        Column(
            "largest logit\ndifference",
            lambda one: "not finite" if one.largest_difference is None else one.largest_difference,
            "g",
            spare=1,
        ),
        Column("offered", "offered", left=True),
    )
    return Table(columns, formats, title)


@click.command("bench")
@opt.model_options
@opt.store_option
@click.option(
    "--seconds",
    type=click.FloatRange(min=1, max=3600),
    default=45.0,
    help="Time that it may take, about; more time gives steadier figures.",
)
@opt.json_option
def bench(**options: Any) -> None:
    """Measure how fast a model and its patches are on this machine, in a minute.

    It shows what the machine can do at best (copying memory, multiplying matrices, convolving) and
    how far the model is from it in each compute format that it is offered in; which of them
    `rws serve` takes; what switching, composing and mixing patches cost; and the memory of a
    resident patch set. Nothing is downloaded and nothing is changed.

    Patches of the store that were made for the model are measured; where it has none, random ones
    are made in memory, which cost the same.

    Close what else is running first, and compare with what `--threads` gives:

    \b
      rws bench
      rws --threads 1 bench --seconds 20
      rws bench --model clean.safetensors --store patches --json
    """
    model = opt.load_model(options)
    measured, origin = _measured(options["store_path"], model)
    path: Path = options["model_path"]
    if str(path) == bundled.BUNDLED:
        path = bundled.model_path(bundled.bundled_folder())
    offered = {runtime.FLOAT32.name}
    with suppress(MissingFileError):  # without a card float32 alone
        weights = patches.identify(model.state_dict()).clean_weights
        card = bundled.packaged_formats(path, weights=weights)
        offered |= {one.name for one in card if one.offered}
    subject = speed.Subject(
        name=str(options["model_path"]),
        model=model,
        patches=measured,
        origin=origin,
        offered=[one for name, one in runtime.FORMATS.items() if name in offered],
    )
    report = speed.bench(subject, seconds=options["seconds"], progress=ConsoleReporter())
    write_result(options["as_json"], report.to_dict(), speed.bench_tables(report))


def _measured(
    store: Path | None, model: "models.Classifier"
) -> "tuple[Sequence[patches.Patch], str]":
    """Those of the store that fit the model and touch the same tensors, else random ones.

    Each can be given other strengths, so that its variant is built anew each time.
    """
    fitting = opt.fitting_store(store, model)
    found: list[patches.Patch] = []
    for entry in sorted(fitting.list(), key=lambda entry: entry.kind != "rws"):
        if entry.kind == "composed" or len(found) == _PATCHES:
            continue
        patch = fitting.get(entry.digest)
        alpha = patch.metadata.alpha
        alike = not found or patch.tensors.keys() == found[0].tensors.keys()
        if alike and alpha.minimum < alpha.recommended:
            found.append(patch)
    if found:
        return found, f"{len(found)} of the store"
    random = speed.random_patches(model, _PATCHES)
    return random, "random, made in memory: the store has none for it"
