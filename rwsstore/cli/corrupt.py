"""`rws corrupt`."""

import io
import warnings
from pathlib import Path
from typing import Any

import click

from rwsstore import corruptions, data, making
from rwsstore.cli import options as opt
from rwsstore.cli.output import write_result
from rwsstore.errors import ConfigError, MissingFileError
from rwsstore.files import write_atomic
from rwsstore.progress import ConsoleReporter

_SHEETS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_SHEET_SIZE = 224


@click.command("corrupt")
@click.option("--dataset", metavar="NAME[:PATH]", help=opt.DATASET_HELP)
@click.option(
    "--gallery",
    type=opt.PATH,
    metavar="IMAGE",
    help="Instead of a data set: draw this image under every corruption at every severity.",
)
@click.option(
    "--out",
    type=opt.PATH,
    required=True,
    help="Folder of the data set; file of the sheet, .png or .jpg.",
)
@click.option(
    "--corruptions",
    default="all",
    help="all, a group (noise, blur, weather, digital), or names: fog,snow.",
)
@click.option(
    "--severities", "severity_text", default="1-5", help="1-5, 3,5 or steps in between: 2.5."
)
@opt.seed_option()
@click.option("--split", type=click.Choice(["train", "test"]), help="Default: test.")
@opt.limit_option
@click.option(
    "--size",
    type=click.IntRange(1, 4096),
    help="Height and width in pixels. Default: the images' own; 224 for --gallery.",
)
@click.option(
    "--table",
    help="Constants to use: cifar, tiny_imagenet or imagenet. Default: those nearest to the size.",
)
@opt.frost_option
@click.option(
    "--layout",
    type=click.Choice(["cifar-c", "imagefolder"]),
    help="cifar-c: CORRUPTION.npy, severity by severity, and labels.npy. imagefolder: "
    "CORRUPTION/SEVERITY/CLASS/INDEX.png. Default: cifar-c.",
)
@click.option(
    "--picture-format",
    type=click.Choice(["png", "jpeg"]),
    help="Of imagefolder. png holds the images to the bit; jpeg, quality 85, is how ImageNet-C is "
    "published, and compresses every image once more. Default: png.",
)
@opt.json_option
def command(**options: Any) -> None:
    """Write corrupted copies of a data set, or draw one image under all corruptions.

    The images follow from the seed alone, to the bit. Each file or folder appears when it is
    complete, so an interrupted run goes on where it was when the same command is given again, and
    corruptions may be added later. A folder that was begun with other parameters is refused.

    \b
    Examples:
      rws corrupt --dataset cifar10:data --out cifar10-c
      rws corrupt --dataset imagefolder:photos --size 224 --layout imagefolder --out photos-c
      rws corrupt --gallery photo.jpg --out sheet.png
    """
    if (options["dataset"] is None) == (options["gallery"] is None):
        raise click.UsageError("give --dataset NAME to write a data set, or --gallery IMAGE")
    if options["gallery"] is None:
        _export(options)
    else:
        _draw(options)


def _export(options: dict[str, Any]) -> None:
    import torch

    from rwsstore.data.imageset import balanced_indices

    layout = options["layout"] or "cifar-c"
    if options["picture_format"] is not None and layout != "imagefolder":
        raise ConfigError("--picture-format goes with --layout imagefolder")
    settings = making.ExportOptions(
        corruptions=corruptions.parse_corruptions(options["corruptions"]),
        severities=opt.severity_steps(options["severity_text"]),
        seed=options["seed"],
        table=options["table"],
        frost_overlays=options["frost_overlays"],
        picture_format=options["picture_format"] or "png",
    )
    split: data.Split = options["split"] or "test"
    reporter = ConsoleReporter()
    images = data.load_images(options["dataset"], split, size=options["size"], progress=reporter)
    indices = list(range(len(images)))
    if options["limit"] is not None and options["limit"] < len(images):
        kept = balanced_indices(images.labels.numpy(), options["limit"], options["seed"])
        images, indices = images.take(torch.from_numpy(kept)), kept.tolist()
    # Pieces side by side use the cores better than torch does within each small operation.
    workers = torch.get_num_threads()
    torch.set_num_threads(1)
    report = making.export_corrupted(
        images,
        options["out"],
        settings,
        layout=layout,
        split=split,
        indices=indices,
        workers=workers,
        progress=reporter,
    )
    write_result(options["as_json"], report.to_dict(), *_told(options["out"], report))


def _told(out: Path, report: "making.ExportReport") -> list[str]:
    manifest = report.manifest
    severities = ", ".join(map(str, manifest["severities"]))
    what = "files" if manifest["layout"] == "cifar-c" else "folders"
    lines = [f"wrote {len(report.written)} {what} into {out}"]
    if report.kept:
        lines.append(f"{len(report.kept)} {what} were complete already and left alone")
    lines += [
        f"{manifest['images']:,} images of {manifest['dataset']}, severities {severities}",
        manifest["table_note"],
    ]
    if "frost" in manifest["corruptions"]:
        lines.append(f"frost: {manifest['frost']}")
    lines += [
        f"{name} at severity {severity} could not change {count:,} images"
        for name, severity, count in report.unchanged
    ]
    return lines


def _draw(options: dict[str, Any]) -> None:
    from rwsstore.corruptions.gallery import draw_gallery

    for option in opt.given("split", "layout", "picture_format", "limit"):
        raise ConfigError(f"{option} goes with --dataset, not --gallery")
    out: Path = options["out"]
    if out.suffix.lower() not in _SHEETS:
        raise ConfigError(f"--out {out}: expected a name that ends in {', '.join(_SHEETS)}")
    if not out.absolute().parent.is_dir():
        raise MissingFileError(f"--out {out}: there is no folder {out.absolute().parent}")
    image = data.read_image(options["gallery"], size=options["size"] or _SHEET_SIZE)
    folder = options["frost_overlays"]
    with warnings.catch_warnings(record=True) as told:  # shown as lines of the result instead
        warnings.simplefilter("always", corruptions.UnchangedWarning)
        sheet = draw_gallery(
            image,
            corruptions=corruptions.parse_corruptions(options["corruptions"]),
            severities=opt.severity_steps(options["severity_text"]),
            seed=options["seed"],
            table=options["table"],
            frost_overlays=None if folder is None else corruptions.load_frost_overlays(folder),
        )
    encoded = io.BytesIO()
    sheet.save(encoded, _SHEETS[out.suffix.lower()], quality=80, progressive=True)
    write_atomic(out, encoded.getvalue())
    height, width = image.shape[1:]
    table = corruptions.table_for(height, width)
    if options["table"] is not None:
        table = corruptions.severity_table(options["table"])
    note, frost = table.note(height, width), corruptions.frost_source(folder)
    spared = [str(warning.message) for warning in told]
    document = {"written": str(out), "table_note": note, "frost": frost, "unchanged": spared}
    write_result(options["as_json"], document, f"wrote {out}", note, f"frost: {frost}", *spared)
