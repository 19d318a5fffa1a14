"""A study's page and pictures, all of one look, and how both tell figures."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from string import Formatter
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


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    title: str = "",
    form: str | Sequence[str] = ".1f",
) -> str:
    """Markdown of a table, its title above; the first column is text, the others are numbers.

    Text is written as it is, None as nothing, a whole number with commas, a figure with its
    interval, any other number in its column's form: one for all, or one a column, the last for all
    after it.

    Raises:
        ValueError: a row is not as wide as the header.
    """
    forms = [form] if isinstance(form, str) else form
    cells = [
        [_cell(cell, forms[min(place, len(forms) - 1)]) for place, cell in enumerate(row)]
        for row in rows
    ]
    return tables.Table.of(header, cells, title).to_markdown().rstrip()


def _cell(value: object, form: str) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, Figure):
        return told(value, form)
    return format(value, "," if isinstance(value, int) else form)


def draw(study: "Study", words: str, drawn: Any, suffix: str = "") -> str:
    """Write a figure, or a PNG's bytes, as `docs/paper/NAME.png`, or `NAME-SUFFIX.png`.

    Returns:
        Markdown of a link to it, with words on what it shows for those who don't see it.
    """
    make_folders(study.docs)
    name = f"{'-'.join(filter(None, (study.name, suffix)))}.png"
    write_atomic(study.docs / name, drawn if isinstance(drawn, bytes) else png_bytes(drawn))
    return f"![{words}]({name})"


class _Words(Formatter):
    """`str.format` that also counts, `{epochs:epoch}`, and joins what there are several of."""

    def format_field(self, value: Any, spec: str) -> str:
        if isinstance(value, list):  # blocks, one below another
            return "\n\n".join(map(str, value))
        if isinstance(value, tuple):
            return ", ".join(map(str, value))
        return counted(value, spec) if len(spec) > 1 and spec.isalpha() else format(value, spec)


def filled(study: "Study", name: str, **values: object) -> str:
    """A text of `texts/`, filled; the study is `study` in it, its settings `all`, its own `own`."""
    part = "clat" if study.name in CLAT_TABLES else study.name
    own = getattr(study.settings, part, None)
    text = _TEXTS.joinpath(f"{name}.md").read_text(encoding="utf-8")
    return _Words().format(text, study=study, all=study.settings, own=own, **values).strip()


def write_page(study: "Study", *, corrupted: bool = True, **values: object) -> Path:
    """Write `docs/paper/NAME.md`: `texts/NAME.md`, filled, and the command that makes it.

    Where images were corrupted, their severity is told.
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
    figure = new_figure(width, height)
    return figure, tidy(figure.add_subplot())


def tidy(axes: Any) -> Any:
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
        log_places(axes, places)
    label_axes(axes, x, y)


def log_places(axes: Any, places: Sequence[float]) -> None:
    """Have a logarithmic x axis with these numbers on it alone."""
    axes.set_xscale("log")
    axes.set_xticks(places, [f"{place:g}" for place in places])
    axes.minorticks_off()


def label_axes(axes: Any, x: str, y: str = "accuracy in %") -> None:
    """Say what lies along the axes, and what the curves are."""
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
    return _signed(gain.value) + _between(gain.interval, _signed)


def _between(ends: Interval | None, written: Callable[[float], str]) -> str:
    return "" if ends is None else f" ({written(ends.low)} to {written(ends.high)})"


def _signed(value: float) -> str:
    return f"{_rounded(value):+z.1f}".replace("-", "−")


def _rounded(value: float) -> float:
    """Without what adding up in float64 leaves of equal numbers."""
    return round(value, 9) + 0.0  # no −0


class Gain:
    """A difference in a page's text: `{it}` is its points, `{it.verdict}` a word on it.

    "Holds" where the whole interval says so, "Holds in the mean alone", "Does not hold".

    Args:
        figure: the difference.
        strictly: the claim is that it is above 0; else that it is not below.
    """

    def __init__(self, figure: Figure, *, strictly: bool = True) -> None:
        def fits(value: float) -> bool:
            return _rounded(value) > 0 if strictly else _rounded(value) >= 0

        self.figure, ends = figure, figure.interval
        self.verdict = holds(fits(figure.value))
        if fits(figure.value) and ends is not None and not fits(ends.low):
            self.verdict = "Holds in the mean alone"

    def __str__(self) -> str:
        return points(self.figure)


def holds(true: bool) -> str:
    """A verdict on what has no interval."""
    return "Holds" if true else "Does not hold"


def figure_json(figure: Figure) -> dict[str, Any]:
    ends = figure.interval
    return {
        "value": _rounded(figure.value),
        "interval": None if ends is None else [_rounded(ends.low), _rounded(ends.high)],
    }


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
