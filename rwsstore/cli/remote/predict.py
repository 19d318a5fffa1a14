"""`rws remote predict`."""

__all__ = ["predict"]

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rwsstore.cli.output import write_json, write_lines, write_table
from rwsstore.cli.remote.connection import json_option, with_model
from rwsstore.cli.remote.showing import plain, predictions_table
from rwsstore.errors import MissingFileError

if TYPE_CHECKING:
    from rwsstore_client import Model, Predictions


@click.command("predict", short_help="Say what images show.")
@click.argument(
    "images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@with_model
@click.option(
    "--patchset",
    default="active",
    show_default=True,
    metavar="active|none|PATCH=ALPHA,...",
    help="Patches for these images alone; none is the clean model.",
)
@click.option("--top-k", type=click.IntRange(min=1), help="Name so many classes of each image.")
@json_option
def predict(
    model: "Model", images: tuple[Path, ...], patchset: str, top_k: int | None, as_json: bool
) -> None:
    """Have the service say what images show: JPEG, PNG, WebP or BMP files.

    \b
    Example:
      rws remote predict --patchset fog=0.6,gaussian_noise=0.4 a.jpg b.jpg
    """
    for image in images:
        if not image.is_file():
            raise MissingFileError(f"no image {image}")
    answer = model.predict(list(images), top_k=top_k, patchset=patchset)
    if as_json:
        document = answer.model_dump(mode="json")
        for image, prediction in zip(images, document["predictions"], strict=True):
            prediction["image"] = str(image)
        write_json(document)
        return
    write_table(predictions_table([str(image) for image in images], answer))
    write_lines([_summary(answer)])


def _summary(answer: "Predictions") -> str:
    on = ",".join(f"{one.patch}={one.alpha:g}" for one in answer.patches) or "none"
    of = "" if answer.generation is None else f", generation {answer.generation}"
    timing = answer.timing
    return plain(
        f"patch set {on}{of}, state {answer.state_digest[:12]}; {timing.queued_ms:.1f} ms queued, "
        f"{timing.decode_ms:.1f} decoding, {timing.compute_ms:.1f} computing"
    )
