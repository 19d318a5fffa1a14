"""`rws card`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from rwsstore import models, runtime
from rwsstore.bundled import BUNDLED
from rwsstore.cli.options import (
    dataset_option,
    fitting_store,
    json_option,
    load_labelled_images,
    seed_option,
    store_option,
)
from rwsstore.cli.output import write_result
from rwsstore.errors import ConfigError
from rwsstore.progress import SILENT, ConsoleReporter, Reporter

if TYPE_CHECKING:
    from rwsstore.data import ImageSet
    from rwsstore.models import Classifier, FormatAgreement, ModelCard
    from rwsstore.patches import Request
    from rwsstore.runtime import PatchSource


@click.command("card", short_help="Measure which compute formats a model may be served in.")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@dataset_option
@store_option
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=2000,
    show_default=True,
    help="Most images to compare, chosen by seed, as many of each class.",
)
@seed_option("Of the limit.")
@json_option
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
    if str(checkpoint) == BUNDLED:
        raise ConfigError(
            "the bundled model has its card already: rws serve offers its formats "
            "(docs/operate/compute-formats.md)"
        )
    reporter = ConsoleReporter()
    model = models.load_clean_model(checkpoint)
    images = load_labelled_images(options, model, reporter)
    store = fitting_store(options["store_path"], model)
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
    model: "Classifier",
    images: "ImageSet",
    *,
    patches: "PatchSource | None" = None,
    requests: "Sequence[Request]" = (),
    progress: Reporter = SILENT,
) -> "ModelCard":
    """Measure a clean model in every compute format.

    Args:
        model: with its BatchNorm folded.
        images: that it was not trained on.
        patches: where the patches are found.
        requests: patch sets that are to agree too.
        progress: where to report.

    Raises:
        RwsError: as `measure_agreement`.
    """
    formats = runtime.measure_agreement(
        model, images.images, patches=patches, requests=requests, progress=progress
    )
    weights = models.weights_fingerprint(model.state_dict())
    return models.ModelCard(weights=weights, dataset=images.name, formats=formats)


def formats_table(formats: "Sequence[FormatAgreement]") -> Table:
    """The formats, how far each agrees with float32, and whether it is offered."""
    sets = max((one.patch_sets for one in formats), default=0)
    images = max((one.images for one in formats), default=0)
    title = (
        f"agreement with float32 on {images:,} images, clean model and {sets} patch sets; offered "
        f"from {models.LEAST_AGREEMENT:g} % on, with {models.FEWEST_IMAGES} images or more"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("format")
    for name in ("clean model %", "lowest %"):
        table.add_column(name, justify="right")
    table.add_column("lowest with")
    table.add_column("largest logit difference", justify="right")
    table.add_column("offered")
    for one in formats:
        table.add_row(
            one.name,
            f"{one.top1_agreement:.2f}",
            f"{one.lowest_agreement:.2f}",
            one.lowest_with or "clean model",
            "not finite" if one.largest_difference is None else f"{one.largest_difference:g}",
            "yes" if one.offered else "no",
        )
    return table
