"""Results as tables, for a terminal and for the documentation, and as pictures."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rwsstore.drawing import new_figure, png_bytes
from rwsstore.files import write_atomic
from rwsstore.speed.benching import Machine
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
        Column("spread", _spread),
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


def _spread(result: Result) -> str:
    ratio = result.ratio
    return "" if ratio is None else f"{_short(ratio.low)} … {_short(ratio.high)}"


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
    _explain(figure)
    write_atomic(path, png_bytes(figure))


def _draw_ratio(axes: Any, place: int, result: Result) -> None:
    ratio, required = result.ratio, result.row.required
    assert ratio is not None
    colour = {"yes": _REACHED, "NO": _MISSED}.get(result.verdict, _REPORTED)
    axes.plot([ratio.low, ratio.high], [place, place], color=colour, linewidth=4, alpha=0.35,
              solid_capstyle="round")  # fmt: skip
    axes.plot(ratio.median, place, "o", color=colour, markersize=6)
    number = f"{ratio.median:.3g}"
    axes.annotate(number, (ratio.median, place), (0, 7), textcoords="offset points", ha="center",
                  fontsize=7, color=colour)  # fmt: skip
    if required:
        relation, limit = required.split()
        axes.plot([float(limit)] * 2, [place - 0.2, place + 0.2], color=_LINE, linewidth=1.5)
        axes.plot(float(limit), place, marker=_TIP[relation], color=_LINE, markersize=5)


def _explain(figure: Any) -> None:
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], marker="o", linestyle="", color=_REACHED, label="reached"),
        Line2D([], [], marker="o", linestyle="", color=_MISSED, label="not reached"),
        Line2D([], [], marker="o", linestyle="", color=_REPORTED, label="reported"),
        Line2D([], [], marker=9, linestyle="", color=_LINE, label="required: this side of it"),
    ]
    figure.legend(handles=marks, loc="outside upper left", ncols=4, frameon=False, fontsize=9)


def draw_growth(curves: Sequence[tuple[str, Curve, int]], path: Path) -> None:
    """Draw cost an image over patch sets and batch, and answers a second over clients."""
    named = {name: (curve, knee) for name, curve, knee in curves}
    panels = [_draw_costs] + ([_draw_clients] if "clients" in named else [])
    figure = new_figure(4.6 * len(panels), 3.6)
    for axes, draw in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        draw(axes, named)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color=_PALE)
        axes.legend(frameon=False, fontsize=8)
    write_atomic(path, png_bytes(figure))


_Named = dict[str, tuple[Curve, int]]


def _draw_costs(axes: Any, named: _Named) -> None:
    mixed, single = named["patch_sets"], named["one_patch_set"]
    _draw_curve(axes, mixed, "ms_per_image", "as many patch sets as images", _REACHED)
    _draw_curve(axes, single, "ms_per_image", "one patch set", _REPORTED, beneath=True)
    axes.set_xlabel("images in a batch")
    axes.set_ylabel("milliseconds an image")


def _draw_clients(axes: Any, named: _Named) -> None:
    _draw_curve(axes, named["clients"], "per_second", "answers a second", _REACHED)
    axes.set_xlabel("clients, each with its own patch set")
    axes.set_ylabel("answers a second")


def _draw_curve(
    axes: Any,
    one: tuple[Curve, int],
    figure: str,
    label: str,
    colour: str,
    *,
    beneath: bool = False,
) -> None:
    curve, knee = one
    places = [int(place) for place in curve]
    values = [point[figure] for point in curve.values()]
    axes.plot(places, values, "o-", color=colour, label=label, markersize=4)
    height = curve[str(knee)][figure]
    axes.plot(knee, height, "o", color=colour, markersize=11, fillstyle="none")
    shift = (0, -18 if beneath else 10)
    axes.annotate(f"knee: {knee}", (knee, height), shift, textcoords="offset points",
                  ha="center", fontsize=8, color=colour)  # fmt: skip
