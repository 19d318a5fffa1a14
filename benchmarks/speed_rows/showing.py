"""Results as tables, for a terminal and for the documentation, and as pictures."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rwsstore.drawing import frame, new_figure, panels, png_bytes
from rwsstore.files import write_atomic
from rwsstore.speed import Machine
from rwsstore.tables import Column, Table
from speed_rows.row import Curve, Result

_REACHED, _MISSED, _REPORTED, _LINE = "#1f6fb2", "#c8452f", "#8a94a3", "#222222"
_PALE = "#eceff3"
_TIP = {"≤": 8, "≥": 9, ">": 9}
"""An arrow from the limit to the side that is required: matplotlib's CARETLEFTBASE and RIGHT."""

_AXES = {
    "patch_sets": "patch sets, in as many images",
    "one_patch_set": "images, one patch set",
    "batch": "batch, one patch set",
    "clients": "clients, each its own patch set",
}


def ratio_table(results: Iterable[Result]) -> Table:
    """Every row but those of curves."""
    columns = [
        Column("row", lambda result: result.row.name, left=True),
        Column("what", lambda result: result.row.what, left=True, spare=2),
        Column("against", lambda result: result.row.against, left=True, spare=1),
        Column("median", lambda result: _short(result.ratio.median) if result.ratio else ""),
        Column(
            "spread",
            lambda result: (
                f"{_short(result.ratio.low)} … {_short(result.ratio.high)}" if result.ratio else ""
            ),
        ),
        Column("required", lambda result: result.row.required),
        Column("reached", "verdict"),
    ]
    rows = [one for one in results if one.finding is None or one.ratio is not None]
    return Table(columns, rows, bold=lambda result: result.verdict in ("NO", "not measured"))


def growth_table(name: str, curve: Curve, knee: int) -> Table:
    """One curve, its knee in bold and marked."""
    figures = list(next(iter(curve.values())))
    rows = [
        [place, *(_short(point[one]) for one in figures), "knee" if int(place) == knee else ""]
        for place, point in curve.items()
    ]
    return Table.of([_AXES[name], *(one.replace("_", " ") for one in figures), ""], rows, left=0)


def markdown(results: Sequence[Result], machine: Machine) -> str:
    """The same for documentation."""
    where = (
        f"Measured on {machine.processor}, {machine.threads} of {machine.cores} cores, "
        f"{machine.instructions}{', bf16' if machine.bf16 else ''}, torch {machine.torch}. Ratios "
        "within one run: the median, and the quartiles of the repetitions."
    )
    tables = [ratio_table(results), *(growth_table(*curve) for curve in curves_of(results))]
    return "\n".join([f"{where}\n", *(table.to_markdown() for table in tables)])


def curves_of(results: Iterable[Result]) -> list[tuple[str, Curve, int]]:
    """Each curve with its name and its knee."""
    found = []
    for result in results:
        if result.finding is not None and result.finding.points:
            knees = result.finding.details["knees"]
            assert isinstance(knees, dict)
            found += [(name, curve, knees[name]) for name, curve in result.finding.points.items()]
    return found


def _short(value: float) -> str:
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.1 else f"{value:.4f}"


def draw_ratios(results: Sequence[Result], path: Path) -> None:
    """Draw each ratio with its spread and what is required, on a logarithmic axis.

    Those of which something is required come first.
    """
    shown = [result for result in results if result.ratio is not None]
    shown.sort(key=lambda result: not result.row.required)
    figure = new_figure(8.6, 1.2 + 0.34 * len(shown))
    axes = figure.add_subplot()
    axes.axvline(1, color="#b7bdc6", linewidth=1, zorder=0)
    for place, result in enumerate(shown):
        _draw_ratio(axes, place, result)
    axes.set_xscale("log")
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_yticks(range(len(shown)), [result.row.name for result in shown], fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(lambda _value, _: "")
    axes.set_xlabel("ratio: median and quartiles")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", color=_PALE, zorder=0)
    axes.set_axisbelow(True)
    for marker, colour, label in (
        ("o", _REACHED, "reached"),
        ("o", _MISSED, "not reached"),
        ("o", _REPORTED, "reported"),
        (_TIP["≥"], _LINE, "required: this side of it"),
    ):
        axes.plot([], [], linestyle="", marker=marker, color=colour, label=label)
    figure.legend(loc="outside upper left", ncols=4, frameon=False, fontsize=9)
    write_atomic(path, png_bytes(figure))


def _draw_ratio(axes: Any, place: int, result: Result) -> None:
    ratio, required = result.ratio, result.row.required
    assert ratio is not None
    colour = {"yes": _REACHED, "NO": _MISSED}.get(result.verdict, _REPORTED)
    axes.plot([ratio.low, ratio.high], [place, place], color=colour, linewidth=4, alpha=0.35,
              solid_capstyle="round")  # fmt: skip
    axes.plot(ratio.median, place, "o", color=colour, markersize=6)
    axes.annotate(f"{ratio.median:.3g}", (ratio.median, place), (0, 7),
                  textcoords="offset points", ha="center", fontsize=7, color=colour)  # fmt: skip
    if required:
        relation, limit = required.split()
        axes.plot([float(limit)] * 2, [place - 0.2, place + 0.2], color=_LINE, linewidth=1.5)
        axes.plot(float(limit), place, marker=_TIP[relation], color=_LINE, markersize=5)


_Lines = tuple[tuple[str, str, str, int], ...]
_COSTS: _Lines = (
    ("patch_sets", "as many patch sets as images", _REACHED, 10),
    ("one_patch_set", "one patch set", _REPORTED, -18),
)
_CLIENTS: _Lines = (("clients", "answers a second", _REACHED, 10),)
"""Of each curve in a panel its name, label, colour, and how far above it its knee is written."""


def draw_growth(curves: Sequence[tuple[str, Curve, int]], path: Path) -> None:
    """Draw cost an image over patch sets and batch, and answers a second over clients."""
    named = {name: (curve, knee) for name, curve, knee in curves}
    shown = [("images in a batch", "milliseconds an image", "ms_per_image", _COSTS)]
    if "clients" in named:
        words = "clients, each with its own patch set"
        shown.append((words, "answers a second", "per_second", _CLIENTS))
    figure = new_figure(4.6 * len(shown), 3.6)
    for axes, (x, y, key, lines) in zip(panels(figure, len(shown), 2), shown, strict=True):
        for name, label, colour, above in lines:
            curve, knee = named[name]
            values = [point[key] for point in curve.values()]
            axes.plot(list(map(int, curve)), values, "o-", color=colour, label=label, markersize=4)
            place = knee, curve[str(knee)][key]
            axes.plot(*place, "o", color=colour, markersize=11, fillstyle="none")
            axes.annotate(f"knee: {knee}", place, (0, above), textcoords="offset points",
                          ha="center", fontsize=8, color=colour)  # fmt: skip
        frame(axes, x=x, y=y)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
        axes.grid(color=_PALE)
        axes.legend(frameon=False, fontsize=8)
    write_atomic(path, png_bytes(figure))
