"""How fast patches are: switching, mixed batches, serving, memory, each as a ratio in one run.

    python benchmarks/serving.py [--json] [--rows switch_vs_copy,mixed8_vs_single] [--smoke]
                                 [--repeats 21] [--threads 2] [--out FOLDER]

Both sides of a ratio take turns in one process, or as processes that take turns, so that whatever
slows the machine down slows both. Rows over HTTP need the service, and their rivals LitServe and
BentoML: in an environment of their own, whose interpreter is --rivals-python.

With --json one object comes last, keyed by the rows' names: {"ratio": median, "spread": [lower
quartile, upper quartile]}, and for growth {"points": {curve: {place: figures}}}. --out writes
serving.json with all details, serving.md, serving.png and serving-growth.png.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from serve import rest
from speed_rows import growing, switching
from speed_rows.row import Result, Row, RowSettings, answer, details, measure
from speed_rows.showing import (
    curves_of,
    draw_growth,
    draw_ratios,
    growth_table,
    markdown,
    ratio_table,
)

from rwsstore.cpu import thread_count
from rwsstore.errors import RwsError, UnknownNameError
from rwsstore.files import write_atomic
from rwsstore.progress import ConsoleReporter
from rwsstore.speed.benching import this_machine

ROWS = {row.name: row for part in (switching, rest, growing) for row in part.ROWS}
"""In the order in which they are measured and shown."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, show, write; 0 unless a row could not be measured."""
    options = _parser().parse_args(arguments)
    try:
        rows, settings = _chosen(options.rows), _settings(options)
    except RwsError as error:
        _parser().error(str(error))
    results = measure(rows, settings, ConsoleReporter())
    _show(results)
    if options.out is not None:
        _write(results, settings, options.out)
    if options.json:
        print(json.dumps(answer(results), allow_nan=False))
    return int(any(result.finding is None for result in results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", 1)[0] if __doc__ else None,
        epilog=f"Rows: {', '.join(ROWS)}.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    parser.add_argument("--rows", metavar="A,B", help="only these; all by default")
    parser.add_argument("--smoke", action="store_true", help="a tiny model: does it run?")
    parser.add_argument("--repeats", type=int, help="timed turns of a row; 21, over HTTP 5")
    parser.add_argument("--threads", type=int, help="of torch; the cores that it may use")
    parser.add_argument("--width", type=float, help="of the VGG-16; 1.0")
    parser.add_argument("--clients", type=int, help="over HTTP; 16")
    parser.add_argument("--seconds", type=float, help="of load in a turn over HTTP; 6")
    parser.add_argument("--rivals-python", type=Path, metavar="FILE", help="interpreter of rivals")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write tables and pictures too")
    return parser


def _chosen(names: str | None) -> list[Row]:
    """Rows by names with commas between; all of them for None.

    Raises:
        UnknownNameError: there is no such row.
    """
    if names is None:
        return list(ROWS.values())
    wanted = dict.fromkeys(name.strip() for name in names.split(","))
    for name in wanted:
        if name not in ROWS:
            raise UnknownNameError("row", name, ROWS)
    return [ROWS[name] for name in wanted]


def _settings(options: argparse.Namespace) -> RowSettings:
    if options.smoke:
        return RowSettings.for_smoke(rivals_python=options.rivals_python)
    settings = RowSettings(threads=thread_count(), rivals_python=options.rivals_python)
    given = {
        "threads": options.threads,
        "repeats": options.repeats,
        "rest_repeats": options.repeats,
        "width": options.width,
        "clients": options.clients,
        "seconds": options.seconds,
    }
    return replace(settings, **{name: one for name, one in given.items() if one is not None})


def _show(results: Sequence[Result]) -> None:
    console = Console(highlight=False)
    console.soft_wrap = not console.is_terminal  # a line a row in a pipe
    if any(result.finding is None or result.ratio is not None for result in results):
        console.print(ratio_table(results))
    for name, curve, knee in curves_of(results):
        console.print(growth_table(name, curve, knee))
    for result in results:
        if result.finding is None:
            print(f"{result.row.name} could not be measured: {result.failure}", file=sys.stderr)


def _write(results: Sequence[Result], settings: RowSettings, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    document = json.dumps(details(results, settings), indent=2, allow_nan=False)
    write_atomic(folder / "serving.json", document.encode() + b"\n")
    write_atomic(folder / "serving.md", markdown(results, this_machine()).encode())
    if any(result.ratio is not None for result in results):
        draw_ratios(results, folder / "serving.png")
    if curves := curves_of(results):
        draw_growth(curves, folder / "serving-growth.png")


if __name__ == "__main__":
    sys.exit(main())
