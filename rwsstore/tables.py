"""Tables as columns of data, for people and as CSV, and how reports write their figures.

On a terminal a table is made for 80 characters: where it does not fit, the columns that can be
spared are left out, and a line says which. In a pipe it has all of them, and one line a row.
"""

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Protocol

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.table import Table as RichTable
from rich.text import Text


class Ends(Protocol):
    """An interval, in the unit of its figure."""

    @property
    def low(self) -> float:
        """Where it begins."""

    @property
    def high(self) -> float:
        """Where it ends."""


@dataclass(frozen=True)
class Column:
    """What stands in one column.

    Attributes:
        name: stands above it; may have several lines.
        get: the value of a row, or the attribute that it is; None: the one at this column's place.
        form: of its numbers, as in `format`.
        left: words stand at the left, numbers at the right.
        spare: left out where a terminal is too narrow, the highest first; 0: never.
        once: on a terminal equal values below each other are shown once, lines between them.
    """

    name: str
    get: Callable[[Any], object] | str | None = None
    form: str = ""
    left: bool = False
    spare: int = 0
    once: bool = False

    def written(self, row: Any, place: int) -> str:
        """A row's cell; None: a dash."""
        if self.get is None:
            value = row[place]
        else:
            value = getattr(row, self.get) if isinstance(self.get, str) else self.get(row)
        return "-" if value is None else _written(value, self.form).replace("inf", "∞")


@dataclass(frozen=True, eq=False)
class Table:
    """Something that rich prints.

    Attributes:
        columns: from the left; without any name there is no heading.
        rows: whatever the columns take.
        title: stands above.
        bold: which rows stand out.
    """

    columns: Sequence[Column]
    rows: Sequence[Any]
    title: str = ""
    bold: Callable[[Any], bool] = lambda _: False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        cells = [
            [column.written(row, place) for place, column in enumerate(self.columns)]
            for row in self.rows
        ]
        if not console.is_terminal:
            yield from (Segment(f"{line}\n") for line in self._lines(cells))
            return
        kept = list(range(len(self.columns)))
        table = self._table(cells, kept)
        wide = options.update(max_width=10_000)
        while console.measure(table, options=wide).maximum > options.max_width:
            last = max(kept, key=lambda place: self.columns[place].spare)
            if not self.columns[last].spare:
                break
            kept.remove(last)
            table = self._table(cells, kept)
        yield table
        if len(kept) < len(self.columns):
            left = [c.name for place, c in enumerate(self.columns) if place not in kept]
            yield Text(f"Not shown at this width: {', '.join(left)}".replace("\n", " "))

    def _lines(self, cells: Sequence[Sequence[str]]) -> Iterator[str]:
        heads = [column.name.replace("\n", " ") for column in self.columns]
        shown = [heads, *cells] if any(heads) else list(cells)
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
        if self.title:
            yield self.title
        for line in shown:
            padded = (
                text.ljust(width) if column.left else text.rjust(width)
                for text, width, column in zip(line, widths, self.columns, strict=True)
            )
            yield "  ".join(padded).rstrip()

    def _table(self, cells: Sequence[Sequence[str]], kept: Sequence[int]) -> RichTable:
        table = RichTable(
            box=SIMPLE_HEAD,
            title=Text(self.title) if self.title else None,
            title_justify="left",
            show_header=any(column.name for column in self.columns),
        )
        for place in kept:
            column = self.columns[place]
            head = Text(column.name)
            table.add_column(head, justify="left" if column.left else "right", overflow="fold")
        before = [""] * len(self.columns)
        for row, line in zip(self.rows, cells, strict=True):
            again = [
                c.once and line[place] == before[place] for place, c in enumerate(self.columns)
            ]
            if any(before) and any(c.once for c in self.columns) and not any(again):
                table.add_section()
            shown = ("" if again[place] else line[place] for place in kept)
            table.add_row(*map(Text, shown), style="bold" if self.bold(row) else None)
            before = list(line)
        return table


def csv_text(columns: str, rows: Iterable[Sequence[object]]) -> str:
    """Write CSV with a heading and Unix line ends.

    Args:
        columns: their names, each with the form of its numbers behind a colon, if they have one.
        rows: their values; None leaves a cell empty.
    """
    named = [column.partition(":") for column in columns.split()]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([name for name, _, _ in named])
    for row in rows:
        writer.writerow(
            "" if value is None else _written(value, form)
            for value, (_, _, form) in zip(row, named, strict=True)
        )
    return buffer.getvalue()


def _written(value: object, form: str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else format(value, form)


def ends(interval: Ends | None) -> tuple[float | None, float | None]:
    """Both ends, for two cells."""
    return (None, None) if interval is None else (interval.low, interval.high)


def with_spread(value: float, interval: Ends | None, form: str = ".1f") -> str:
    """A figure with half the width of its interval behind it, where it has one."""
    if interval is None:
        return format(value, form)
    return f"{value:{form}} ± {(interval.high - interval.low) / 2:{form.lstrip('+z')}}"


def with_ends(value: float, interval: Ends | None, form: str, scale: float = 1.0) -> str:
    """A figure in percent with its interval in brackets, where it has one; all times a scale."""
    shown = f"{scale * value:{form}} %"
    if interval is None:
        return shown
    return f"{shown} ({scale * interval.low:{form}} to {scale * interval.high:{form}})"


def interval_note(confidence: float) -> str:
    """What stands under a table with intervals."""
    return f"± and in brackets: the {100 * confidence:g} % bootstrap interval over the images"


def json_values(value: Any) -> Any:
    """JSON of dataclasses, tensors and what holds them; what is not finite is null."""
    if is_dataclass(value):
        return {field.name: json_values(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: json_values(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(inner) for inner in value]
    if hasattr(value, "tolist"):
        return json_values(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
