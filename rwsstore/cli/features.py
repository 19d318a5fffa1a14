"""`rws features`."""

from pathlib import Path
from typing import Any

import click

from rwsstore import corruptions, data, models, patches, probes
from rwsstore.cli import options as opt
from rwsstore.cli.output import write_result
from rwsstore.drawing import check_picture
from rwsstore.errors import ConfigError
from rwsstore.files import write_atomic


@click.command("features", short_help="Draw feature maps with and without a patch.")
@click.option(
    "--image",
    "image_path",
    type=click.Path(path_type=Path),
    required=True,
    help="JPEG, PNG, WebP or BMP; its middle square, at the size that the network takes.",
)
@click.option(
    "--patch",
    "patchset",
    required=True,
    metavar="NAME[=ALPHA][,...]",
    help="Patches to put on, by name, version or digest; without ALPHA at their recommended "
    "strength.",
)
@opt.model_options
@opt.store_option
@click.option(
    "--layers",
    help="1-3, 1,4 or names (conv2). Default: those that the patches change.",
)
@click.option(
    "--channels",
    type=click.IntRange(1, 16),
    default=6,
    show_default=True,
    help="Feature maps of each layer: those that the patches change most.",
)
@click.option("--corruption", help="Corrupt the image first: fog, snow, ...")
@click.option("--severity", type=click.IntRange(1, 5), help="Of the corruption. Default: 5.")
@opt.seed_option("Of the corruption.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="FILE.png. Needs rwsstore[plots]."
)
@opt.transfer_option
@opt.json_option
def command(**options: Any) -> None:
    """Draw what shallow layers make of one image, and what the model takes it for.

    The picture has a row for the clean model and one for the patched; with --corruption a third
    one for the clean model on the image as it was. Each channel has the same colours in all rows.

    \b
    Example:
      rws features --image cat.jpg --model m.safetensors --patch fog --corruption fog --out c.png
    """
    if options["severity"] is not None and options["corruption"] is None:
        raise ConfigError("--severity goes with --corruption")
    check_picture(options["out"])
    wanted = patches.parse_request(options["patchset"])
    model = opt.load_model(options)
    layers = None if options["layers"] is None else models.parse_layers(model, options["layers"])
    image = data.read_image(options["image_path"], size=model.spec.input_size)
    shown = image
    if options["corruption"] is not None:
        severity = options["severity"] or 5
        name, seed = options["corruption"], options["seed"]
        shown = corruptions.corrupt(image[None], name, severity, seed=seed)[0]
    features = probes.feature_maps(
        model,
        wanted,
        opt.fitting_store(options["store_path"], model),
        shown,
        layers=layers,
        channels=options["channels"],
        uncorrupted=None if options["corruption"] is None else image,
        allow_transfer=options["allow_transfer"],
        classes=model.spec.classes,
    )
    out = options["out"]
    write_atomic(out, features.pictures()[""])
    document = {"out": str(out), **features.to_dict()}
    write_result(options["as_json"], document, *features.parts(), f"wrote {out}")
