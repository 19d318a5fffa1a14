"""Results on standard output, and reports where --csv, --png and --json want them."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click
from rich.console import Console, RenderableType

from rwsstore.cli.options import PATH, json_option, several
from rwsstore.drawing import check_drawing, check_picture
from rwsstore.errors import MissingFileError
from rwsstore.files import write_atomic
from rwsstore.tables import Column, Table

if TYPE_CHECKING:
    from rwsstore.probes import Report


def write_json(document: Any) -> None:
    """Write one JSON document."""
    click.echo(json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False))


def write_table(table: RenderableType) -> None:
    """Write something that rich lays out; without a terminal it takes the width that it needs."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=180)
    console.print(table, crop=False)


def write_lines(lines: Iterable[str]) -> None:
    """Write lines as they are."""
    for line in lines:
        click.echo(line)


def write_result(as_json: bool, document: Any, *shown: RenderableType) -> None:
    """Write a result once: a document if --json is given, else what people read.

    Args:
        as_json: whether it is.
        document: JSON values.
        shown: strings are lines, taken as they are.
    """
    if as_json:
        write_json(document)
        return
    for one in shown:
        if isinstance(one, str):
            click.echo(one)
        else:
            write_table(one)


def report_options(
    *, csv: str | None, png: str, prefix: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command --csv, --png and --json, in this order.

    Args:
        csv: what is written, after "Also write"; None: there is no --csv.
        png: what is drawn, after "Also draw".
        prefix: there are several pictures, and what is given is the beginning of their names.
    """
    drawn = f"Also draw {png}. Needs rwsstore[plots]."
    metavar = "PREFIX" if prefix else None
    options = [click.option("--png", "png_path", type=PATH, metavar=metavar, help=drawn)]
    if csv is not None:
        options.insert(0, click.option("--csv", "csv_path", type=PATH, help=f"Also write {csv}."))
    return several(*options, json_option)


def check_outputs(options: Mapping[str, Any]) -> None:
    """Refuse what could not be written before anything is measured.

    Raises:
        MissingFileError: the folder of a file does not exist.
        MissingExtraError: a picture is wanted and matplotlib is not installed.
    """
    for path in filter(None, (options.get("csv_path"), options["png_path"])):
        if not path.absolute().parent.is_dir():
            raise MissingFileError(f"{path}: there is no folder {path.absolute().parent}")
    if options["png_path"] is not None:
        check_drawing()


class _Report(Protocol):
    def to_dict(self) -> dict[str, Any]: ...

    def to_csv(self) -> str: ...


_R = TypeVar("_R", bound=_Report)


def write_report(
    report: _R,
    options: Mapping[str, Any],
    *,
    table: Callable[[_R], RenderableType],
    plot: Callable[[_R, Path], None],
) -> None:
    """Write a report as CSV, as a picture, and as a table or JSON, as the options say.

    Args:
        report: to be written.
        options: the values of `report_options`.
        table: what it is for people.
        plot: draws it into a file.
    """
    if options["csv_path"] is not None:
        write_atomic(options["csv_path"], report.to_csv().encode())
    if options["png_path"] is not None:
        plot(report, options["png_path"])
    write_result(options["as_json"], report.to_dict(), table(report))


def write_found(
    options: Mapping[str, Any], find: "Callable[[], Report]", pictures: Sequence[str] = ()
) -> None:
    """Find something out, and write it as CSV, as pictures, and as tables or JSON.

    Args:
        options: the values of `report_options`.
        find: makes the report, once it is sure that it can be written.
        pictures: names of those that it draws, where that is not one without a name.

    Raises:
        RwsError: as `find`, `check_outputs` and `check_picture`.
    """
    check_outputs(options)
    png = options["png_path"]
    paths = picture_paths(png, pictures) if pictures or png is None else {"": png}
    for path in paths.values():
        check_picture(path)
    report = find()
    if options.get("csv_path") is not None:
        write_atomic(options["csv_path"], report.to_csv().encode())
    if paths:
        drawn = report.pictures()
        for name, path in paths.items():
            write_atomic(path, drawn[name])
    write_result(options["as_json"], report.to_dict(), report.text())


def picture_paths(prefix: Path | None, kinds: Iterable[str]) -> dict[str, Path]:
    """Where each of several pictures goes, by its kind; nowhere without a prefix."""
    if prefix is None:
        return {}
    stem = prefix.name.removesuffix(".png")
    return {kind: prefix.with_name(f"{stem}-{kind}.png") for kind in kinds}


def facts_table(title: str, rows: Iterable[tuple[str, object]]) -> Table:
    """What is known of one thing: names and values."""
    return Table.of(("", ""), rows, title, left=2)


def made_against(patch: Any) -> Iterator[tuple[str, object]]:
    """What a patch is against, and the images that it was made of, where it says so."""
    if patch.corruption is not None:
        yield "corruption", f"{patch.corruption}, severity {patch.severity}"
    if patch.attack is not None:
        budget = "" if patch.budget is None else f", budget {patch.budget:g}"
        yield "attack", f"{patch.attack}{budget}"
    if patch.dataset is not None:
        yield "dataset", patch.dataset


def card_table(images: int, points: Sequence[Any]) -> Table:
    """What a patch buys and costs at some strengths, each with `alpha`, `ta` and `ra`."""
    columns = [
        Column("alpha", "alpha", "g"),
        Column("TA %", "ta", ".1f"),
        Column("RA %", "ra", ".1f"),
    ]
    return Table(columns, points, f"robustness card, {images:,} images")


def patches_table(patches: Sequence[Any], *more: Column) -> Table:
    """A row for each patch of a store on this machine or of a service.

    Args:
        patches: entries of either.
        more: what stands behind their sizes.
    """
    columns = (
        Column("patch", reference_of, left=True),
        Column("digest", lambda patch: patch.digest[:12], left=True, spare=2),
        Column("kind", "kind", left=True),
        Column("against", lambda patch: patch.corruption or patch.attack, left=True),
        Column("severity, ε", _severity, spare=3),
        Column("bits", lambda patch: patch.bits or None),
        Column("touched", touched_of, spare=1),
        Column("payload", "payload_bytes", ",", spare=5),
        Column("file", "file_bytes", ",", spare=6),
        *more,
        Column("layer", "layer", left=True, spare=7),
    )
    return Table(columns, patches)


def reference_of(patch: Any) -> str:
    """A patch as one names it: by its name, and its version under that, where it has one."""
    return patch.name if patch.version is None else f"{patch.name}@{patch.version}"


def _severity(patch: Any) -> int | str | None:
    """Of its corruption, or the budget of its attack."""
    if patch.severity is None and patch.budget is not None:
        return f"ε {patch.budget:g}"
    return patch.severity or None


def touched_of(patch: Any) -> str:
    """How many bytes of the model a patch changes, and their share, where that is known."""
    if patch.touched_bytes is None:
        return "?"
    model_bytes = getattr(patch, "model_bytes", None)
    share = "" if model_bytes is None else f" ({patch.touched_bytes / model_bytes:.1%})"
    return f"{patch.touched_bytes:,}{share}"
