"""Tables as columns of data, written for people, as CSV, JSON, Markdown and HTML; and figures.

On a terminal a table is made for 80 characters: where it does not fit, the columns that can be
spared are left out, and a line says which. In a pipe it has all of them, and one line a row.
"""

import csv
import html
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
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
        form: of its numbers, as in `format`; CSV has no thousands separators and no percent signs.
        left: words stand at the left, numbers at the right.
        spare: left out where a terminal is too narrow, the highest first; 0: never.
        once: on a terminal equal values below each other are shown once, lines between them.
        key: what CSV and JSON call it; empty: its name on one line.
    """

    name: str
    get: Callable[[Any], object] | str | None = None
    form: str = ""
    left: bool = False
    spare: int = 0
    once: bool = False
    key: str = ""

    @property
    def heading(self) -> str:
        """Its name on one line."""
        return self.name.replace("\n", " ")

    def value(self, row: Any, place: int) -> object:
        """What a row has in it; None: nothing."""
        if self.get is None:
            return row[place]
        return getattr(row, self.get) if isinstance(self.get, str) else self.get(row)

    def shown(self, value: object) -> str:
        """A value for people."""
        return "-" if value is None else re.sub(r"\binf\b", "∞", _written(value, self.form))

    def stored(self, value: object) -> str:
        """A value for CSV."""
        form = "" if self.form.endswith((",", "%")) else self.form.replace(",", "")
        return "" if value is None else _written(value, form)


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of anything; rich prints it too.

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

    @classmethod
    def of(
        cls, heads: Sequence[str], rows: Iterable[Sequence[object]], title: str = "", left: int = 1
    ) -> "Table":
        """Make a table of ready rows; words stand in the first so many columns, numbers after.

        Raises:
            ValueError: a row is not as wide as the heads.
        """
        found = list(rows)
        if any(len(row) != len(heads) for row in found):
            raise ValueError(f"a row is not as wide as the heads {heads}")
        columns = [Column(name, left=place < left) for place, name in enumerate(heads)]
        return cls(columns, found, title)

    def to_text(self) -> str:
        """The title, the heads and each row as a line, aligned."""
        heads = [column.heading for column in self.columns]
        lines = [heads, *self._cells()] if any(heads) else self._cells()
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = f"{plain(self.title)}\n" if self.title else ""
        for line in lines:
            padded = (
                cell.ljust(width) if column.left else cell.rjust(width)
                for cell, width, column in zip(line, widths, self.columns, strict=True)
            )
            text += "  ".join(padded).rstrip() + "\n"
        return text

    def to_csv(self) -> str:
        """A heading and the rows, with Unix line ends; a cell of None is empty.

        Raises:
            ValueError: columns share a key or have none.
        """
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self._keys())
        for row in self.rows:
            writer.writerow(
                column.stored(column.value(row, place)) for place, column in enumerate(self.columns)
            )
        return buffer.getvalue()

    def to_json(self) -> list[dict[str, Any]]:
        """JSON values: the rows by the columns' keys, numbers as they are; not finite is null.

        Raises:
            ValueError: columns share a key or have none.
        """
        keys = self._keys()
        return [
            {
                key: json_values(column.value(row, place))
                for place, (key, column) in enumerate(zip(keys, self.columns, strict=True))
            }
            for row in self.rows
        ]

    def to_markdown(self) -> str:
        """A table of GitHub's Markdown, its title in bold above; ends with a line end."""
        heads = [column.heading for column in self.columns]
        marks = ["---" if column.left else "---:" for column in self.columns]
        text = f"**{self.title}**\n\n" if self.title else ""
        for line in (heads, marks, *self._cells()):
            escaped = " | ".join(cell.replace("|", "\\|") for cell in line)
            text += f"| {escaped} |\n"
        return text

    def to_html(self) -> str:
        """A table element, everything in it escaped; numbers stand at the right."""
        caption = f"<caption>{html.escape(self.title)}</caption>\n" if self.title else ""
        heads = [html.escape(column.name).replace("\n", "<br>") for column in self.columns]
        cells = [map(html.escape, line) for line in self._cells()]
        body = "".join(self._html_row("td", line) for line in cells)
        return (
            f"<table>\n{caption}<thead>\n{self._html_row('th', heads)}</thead>\n"
            f"<tbody>\n{body}</tbody>\n</table>\n"
        )

    def _html_row(self, tag: str, cells: Iterable[str]) -> str:
        row = ""
        for cell, column in zip(cells, self.columns, strict=True):
            side = "" if column.left else ' style="text-align: right"'
            row += f"<{tag}{side}>{cell}</{tag}>"
        return f"<tr>{row}</tr>\n"

    def _cells(self) -> list[list[str]]:
        return [
            [
                plain(column.shown(column.value(row, place)))
                for place, column in enumerate(self.columns)
            ]
            for row in self.rows
        ]

    def _keys(self) -> list[str]:
        keys = [column.key or column.heading for column in self.columns]
        if "" in keys or len(set(keys)) < len(keys):
            raise ValueError(f"each column needs a key of its own, found {keys}")
        return keys

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not console.is_terminal:
            yield Segment(self.to_text())
            return
        kept = list(range(len(self.columns)))
        table = self._rich(kept)
        wide = options.update(max_width=10_000)
        while console.measure(table, options=wide).maximum > options.max_width:
            last = max(kept, key=lambda place: self.columns[place].spare)
            if not self.columns[last].spare:
                break
            kept.remove(last)
            table = self._rich(kept)
        if self.title:
            yield Text(plain(self.title), style="italic")
        yield table
        left_out = [c.heading for place, c in enumerate(self.columns) if place not in kept]
        if left_out:
            yield Text(f"Not shown at this width: {', '.join(left_out)}")

    def _rich(self, kept: Sequence[int]) -> RichTable:
        named = any(column.name for column in self.columns)
        table = RichTable(box=SIMPLE_HEAD, show_header=named)
        for place in kept:
            column = self.columns[place]
            head = Text(column.name)
            table.add_column(head, justify="left" if column.left else "right", overflow="fold")
        before = [""] * len(self.columns)
        for row, line in zip(self.rows, self._cells(), strict=True):
            again = [
                c.once and line[place] == before[place] for place, c in enumerate(self.columns)
            ]
            if any(before) and any(c.once for c in self.columns) and not any(again):
                table.add_section()
            shown = ("" if again[place] else line[place] for place in kept)
            table.add_row(*map(Text, shown), style="bold" if self.bold(row) else None)
            before = line
        return table


def csv_text(columns: str, rows: Iterable[Sequence[object]]) -> str:
    """Write CSV of ready rows.

    Args:
        columns: their names, each with the form of its numbers behind a colon, if they have one.
        rows: their values; None leaves a cell empty.
    """
    named = [column.partition(":") for column in columns.split()]
    return Table([Column(name, form=form) for name, _, form in named], list(rows)).to_csv()


def plain(text: str) -> str:
    """Text on one line, without signs that a terminal would obey."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


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
