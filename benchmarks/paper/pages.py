"""A study's page and pictures, all of one look, and how both tell figures."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.paper.settings import CLAT_TABLES
from rwsstore import tables
from rwsstore.drawing import new_figure, png_bytes
from rwsstore.files import make_folders, write_atomic
from rwsstore.measure import Figure, Interval

if TYPE_CHECKING:
    from benchmarks.paper.study import Study

_TEXTS = Path(__file__).with_name("texts")

CLEAN, PATCHED, LINE = "#b7bdc6", "#1f6fb2", "#444444"
"""As in `rws evaluate --png`."""

COLOURS = (PATCHED, "#d1762b", "#3f8f5b", "#8c5fa8", "#b8414b", "#7a6a53", "#2f9aa0")
"""One a curve."""

SYNTHETIC_FROST = "Frost is synthetic, not the benchmark's photographs."


@dataclass(frozen=True)
class Table:
    """A table of a page; the first column is text, the others are numbers.

    Attributes:
        header: one word or two a column.
        rows: as wide as the header. Text is written as it is, None as nothing, a whole number with
            commas, a figure with its interval, any other number in its column's form.
        title: above it; none if empty.
        form: of numbers; one for all columns, or one a column.
    """

    header: Sequence[str]
    rows: Iterable[Sequence[object]]
    title: str = ""
    form: str | Sequence[str] = ".1f"

    def __str__(self) -> str:
        """Markdown: the table, below its title.

        Raises:
            ValueError: a row is not as wide as the header.
        """
        forms = [self.form] if isinstance(self.form, str) else self.form
        rows = [
            [_cell(cell, forms[min(place, len(forms) - 1)]) for place, cell in enumerate(row)]
            for row in self.rows
        ]
        return tables.Table.of(self.header, rows, self.title).to_markdown().rstrip()


def _cell(value: object, form: str) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, Figure):
        return told(value, form)
    return format(value, "," if isinstance(value, int) else form)


@dataclass(frozen=True)
class Picture:
    """A picture of a page.

    Attributes:
        path: beside the page.
        words: what it shows, for those who don't see it.
    """

    path: Path
    words: str

    def __str__(self) -> str:
        """Markdown: a link to it."""
        return f"![{self.words}]({self.path.name})"


def draw(study: "Study", words: str, drawn: Any, suffix: str = "") -> Picture:
    """Write a figure, or a PNG's bytes, as `docs/paper/NAME.png`, or `NAME-SUFFIX.png`."""
    make_folders(study.docs)
    path = study.docs / f"{study.name}{'-' + suffix if suffix else ''}.png"
    write_atomic(path, drawn if isinstance(drawn, bytes) else png_bytes(drawn))
    return Picture(path, words)


def filled(study: "Study", name: str, **values: object) -> str:
    """A text of `texts/`, filled; the study is `study` in it, its settings `all`, its own `own`.

    Args:
        study: whose page it stands on.
        name: of the file.
        values: what else stands in it, as `str.format` writes it; blocks one below another where
            there are several, none where there are none.
    """
    part = "clat" if study.name in CLAT_TABLES else study.name
    own = getattr(study.settings, part, None)
    blocks = {
        name: "\n\n".join(map(str, value)) if isinstance(value, list) else value
        for name, value in values.items()
    }
    text = _TEXTS.joinpath(f"{name}.md").read_text(encoding="utf-8")
    return text.format(study=study, all=study.settings, own=own, **blocks).strip()


def write_page(study: "Study", *, corrupted: bool = True, **values: object) -> Path:
    """Write `docs/paper/NAME.md`: `texts/NAME.md`, filled, and the command that makes it.

    Args:
        study: whose page it is.
        corrupted: whether images were corrupted, so that their severity is told.
        values: as in `filled`.
    """
    severity = f", corruptions at severity {study.settings.severity} unless said"
    origin = (
        f"{len(study.test):,} test images of {study.test.name}{severity if corrupted else ''}. "
        f"Made by `python -m benchmarks.paper {study.name} "
        f"--data NAME:PATH{' --work-bundle DIR' if study.wide else ''}`; its parameters are in "
        "[paper.toml](../../benchmarks/paper/paper.toml)."
    )
    text = re.sub(r"\n{3,}", "\n\n", filled(study, study.name, **values))
    make_folders(study.docs)
    path = study.docs / f"{study.name}.md"
    write_atomic(path, f"{text}\n\n{origin}\n".encode())
    return path


def chart(width: float, height: float) -> tuple[Any, Any]:
    """A figure and its only axes."""
    figure = new_figure(width, height)
    return figure, tidy(figure.add_subplot())


def tidy(axes: Any) -> Any:
    """Take the upper and the right spine away."""
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def curves(
    axes: Any,
    places: Sequence[float],
    lines: Mapping[str, Sequence[float]],
    *,
    x: str,
    y: str = "accuracy in %",
    colours: Sequence[str] = COLOURS,
    log: bool = False,
) -> None:
    """Draw lines with a dot at every place, and their names."""
    for (label, heights), colour in zip(lines.items(), colours, strict=False):
        axes.plot(places, heights, "o-", ms=4, color=colour, label=label)
    if log:
        axes.set_xscale("log")
        axes.set_xticks(places, [f"{place:g}" for place in places])
        axes.minorticks_off()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend(frameon=False, fontsize=8)


def bars(
    axes: Any,
    names: Sequence[str],
    groups: Mapping[str, Sequence[float]],
    colours: Sequence[str],
    *,
    y: str = "accuracy in %",
    size: float = 8,
) -> list[Any]:
    """Draw accuracies as bars, those of one name beside each other; what was drawn, by group."""
    drawn = []
    for place, ((label, heights), colour) in enumerate(zip(groups.items(), colours, strict=False)):
        shift = 0.84 * ((place + 0.5) / len(groups) - 0.5)
        at = [number + shift for number in range(len(names))]
        drawn.append(axes.bar(at, heights, 0.84 / len(groups), label=label, color=colour))
    axes.set_xticks(range(len(names)), names, fontsize=size)
    axes.set_ylim(0, 100)
    axes.set_ylabel(y)
    return drawn


def told(figure: Figure | None, form: str = ".1f") -> str:
    """A number with its interval, for tables."""
    if figure is None:
        return "-"
    return f"{figure.value:{form}}" + _between(figure.interval, lambda end: format(end, form))


def points(gain: Figure) -> str:
    """A difference in points with its interval."""
    ends = gain.interval
    if ends is not None:
        ends = Interval(low=_rounded(ends.low), high=_rounded(ends.high))
    return _signed(_rounded(gain.value)) + _between(ends, _signed)


def _between(ends: Interval | None, written: Callable[[float], str]) -> str:
    return "" if ends is None else f" ({written(ends.low)} to {written(ends.high)})"


def _signed(value: float) -> str:
    return f"{value:+z.1f}".replace("-", "−")


class Gain:
    """A difference in a page's text: `{it}` is its points, `{it.verdict}` a word on it.

    Args:
        figure: the difference.
        strictly: the claim is that it is above 0; else that it is not below.
    """

    def __init__(self, figure: Figure, *, strictly: bool = True) -> None:
        self.figure, self.verdict = figure, verdict(figure, strictly=strictly)

    def __str__(self) -> str:
        return points(self.figure)


def verdict(gain: Figure, *, strictly: bool = True) -> str:
    """Say whether something is above something else, or not below it.

    Args:
        gain: the difference.
        strictly: above; else not below.

    Returns:
        "Holds" where the whole interval says so, "Holds in the mean alone", "Does not hold".
    """
    found = _rounded(gain.value)
    if not (found > 0 if strictly else found >= 0):
        return holds(False)
    low = found if gain.interval is None else _rounded(gain.interval.low)
    sure = low > 0 if strictly else low >= 0
    return holds(True) if sure else "Holds in the mean alone"


def holds(true: bool) -> str:
    """A verdict on what has no interval."""
    return "Holds" if true else "Does not hold"


def figure_json(figure: Figure) -> dict[str, Any]:
    """A figure as JSON values, without what adding up in float64 leaves of equal numbers."""
    ends = figure.interval
    return {
        "value": _rounded(figure.value),
        "interval": None if ends is None else [_rounded(ends.low), _rounded(ends.high)],
    }


def _rounded(value: float) -> float:
    return round(value, 9) + 0.0  # no −0


def counted(number: int, noun: str) -> str:
    """1 epoch, 2 epochs."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
