"""A comparison as tables for people, and as heat maps."""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from math import ceil
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from torch import Tensor

from rwsstore.analysis.comparison import Comparison, GroupContrast
from rwsstore.analysis.gains import Gains
from rwsstore.analysis.similarity import group_of
from rwsstore.corruptions import GROUPS, frost_source
from rwsstore.drawing import draw_heat_map, new_figure, number_cells, png_bytes
from rwsstore.models import short_names

_LABEL = 16
# The row's number, and two spaces.
_LEFT = _LABEL + 4
_WIDTH = 80


def matrix_lines(
    values: Tensor, rows: Sequence[str], heads: Sequence[str], *, blank_diagonal: bool = False
) -> list[str]:
    """Write a matrix of whole numbers with numbered rows.

    Args:
        values: rounded to whole numbers, from -99 to 999; [R, C]; NaN is shown as a dot.
        rows: what each row is called.
        heads: what stands above each column, at most two characters.
        blank_diagonal: show a dot on the diagonal.

    Returns:
        Lines of 80 characters where that is possible: 4 a column, or 3 where there are more than
        15; a minus or a third digit then takes the place of the space, so that 20 columns fit.
    """
    cell = 4 if _LEFT + 4 * len(heads) <= _WIDTH else 3
    lines = [" " * _LEFT + "".join(f"{head:>{cell}}" for head in heads)]
    for number, (row, label) in enumerate(zip(values.tolist(), rows, strict=True)):
        shown = [
            "." if (blank_diagonal and number == column) else _whole(value)
            for column, value in enumerate(row)
        ]
        cells = "".join(f"{text:>{cell}}" for text in shown)
        lines.append(f"{number + 1:>2} {_short(label):<{_LABEL}} {cells}")
    return lines


def _whole(value: float) -> str:
    return "." if math.isnan(value) else str(round(value))


def _short(label: str) -> str:
    return label if len(label) <= _LABEL else label[: _LABEL - 1] + "…"


_WIDEST = 20
_NO_GROUPS = "needs two corruptions of one group and one of another"


def comparison_text(comparison: Comparison) -> RenderableType:
    """Lay a comparison out as tables of at most 80 characters, up to 20 patches.

    More patches than that are listed each with its nearest one, without matrices.
    """
    parts: list[RenderableType] = [_patches(comparison), _layers(comparison)]
    parts += map(_plain, _cosines(comparison))
    if comparison.gains is not None:
        parts += map(_plain, _gains(comparison.gains, comparison))
    return Group(*parts)


def _plain(line: str) -> Text:
    return Text(line, no_wrap=line.startswith(" "))


def _patches(comparison: Comparison) -> Table:
    found = comparison.similarity
    table = _table("Patches, and the most alike of the others", "", "patch", "group")
    for name in ("‖Δ‖", "‖Δ‖/‖θ‖", "nearest", "cosine"):
        table.add_column(name, justify="left" if name == "nearest" else "right")
    others = found.cosine.clone().fill_diagonal_(-torch.inf).nan_to_num(-torch.inf)
    best, places = others.max(1)
    for number, one in enumerate(found.signatures):
        nearest = found.signatures[int(places[number])].name, f"{float(best[number]):z.2f}"
        table.add_row(
            str(number + 1),
            one.name,
            one.group,
            f"{float(found.total_norms[number]):.3g}",
            f"{float(found.total_relative_norms[number]):.3f}",
            *(nearest if bool(best[number].isfinite()) else ("-", "-")),
        )
    return table


def _layers(comparison: Comparison) -> Table:
    table = _table("Layers, means over the patches and their pairs", "layer")
    for name in (
        "‖Δ‖", "‖Δ‖/‖θ‖", "share of\n‖Δ‖²", "cosine", "within\ngroups", "between\ngroups", "p",
    ):  # fmt: skip
        table.add_column(name, justify="right")
    for layer, name in zip(
        comparison.layers, short_names(comparison.similarity.layers), strict=True
    ):
        groups = layer.groups
        contrast = (
            ("-", "-", "-")
            if groups is None
            else (f"{groups.within:z.2f}", f"{groups.between:z.2f}", f"{groups.p_value:.2g}")
        )
        table.add_row(
            name,
            f"{layer.norm:.3g}",
            "-" if layer.relative_norm is None else f"{layer.relative_norm:.3f}",
            f"{layer.energy:.0%}",
            "-" if layer.cosine is None else f"{layer.cosine:z.2f}",
            *contrast,
        )
    return table


def _cosines(comparison: Comparison) -> Iterator[str]:
    found = comparison.similarity
    names = [one.name for one in found.signatures]
    if len(names) <= _WIDEST:
        yield "Cosine similarity in hundredths"
        heads = [str(number) for number in range(1, len(names) + 1)]
        yield from matrix_lines(100 * found.cosine, names, heads, blank_diagonal=True)
        yield ""
    yield from _verdict("cosine", comparison.groups, "z.2f")


def _gains(gains: Gains, comparison: Comparison) -> Iterator[str]:
    options = gains.options
    yield ""
    yield (
        f"Accuracy gained in points, severity {options.severity:g}, {gains.images:,} images of "
        f"{gains.dataset}"
    )
    if len(options.corruptions) < _WIDEST:
        names = [one.name for one in gains.signatures]
        heads = [str(number) for number in range(1, len(options.corruptions) + 1)]
        table = torch.cat([gains.gains, gains.costs[:, None]], dim=1)
        yield from matrix_lines(table, names, [*heads, "TA"])
        if tuple(one.corruption for one in gains.signatures) != options.corruptions:
            columns = zip(heads, options.corruptions, strict=True)
            yield "Columns: " + ", ".join(f"{number} {name}" for number, name in columns)
        yield "TA: what the patch costs on clean images"
    yield f"Clean model: {gains.clean_ta:.1f} % on clean images, {_mean_ra(gains):.1f} % corrupted"
    if "frost" in options.corruptions:
        yield f"Frost: {frost_source(options.frost_overlays)}"
    yield ""
    yield from _verdict("gain", comparison.gain_groups, "z.1f")
    if comparison.gain_correlation is not None:
        yield (
            "Correlation of the cosine of two patches with what one gains on the other's "
            f"corruption: {comparison.gain_correlation:z.2f}"
        )


def _mean_ra(gains: Gains) -> float:
    return float(gains.clean_ra.mean())


def _verdict(what: str, found: GroupContrast | None, form: str) -> Iterator[str]:
    """Do the groups appear? In words, and group by group."""
    if found is None:
        yield f"Do the groups appear in the {what}s? It {_NO_GROUPS}."
        return
    answer = "Yes" if found.appear else "Not shown"
    own = "" if found.own is None else f", on its own corruption {found.own:{form}}"
    yield f"Do the groups appear in the {what}s? {answer}: p = {found.p_value:.2g}."
    yield (
        f"Mean {what} within groups {found.within:{form}} ({found.within_pairs} pairs), between "
        f"them {found.between:{form}} ({found.between_pairs}){own}."
    )
    names = [name for name in GROUPS if name in found.by_group]
    yield " " * 10 + "".join(f"{name:>9}" for name in names)
    for name in names:
        row = [found.by_group[name][other] for other in names]
        cells = "".join(f"{'-' if value is None else format(value, form):>9}" for value in row)
        yield f"  {name:<8}{cells}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


_LINE = "#222222"
_SIGNED, _UNSIGNED = "RdBu", "Blues"
_MAPS_A_ROW = 3
# Cells, in inches; a number of three characters fits.
_CELL = 0.34


def draw_comparison(comparison: Comparison) -> dict[str, bytes]:
    """Draw every matrix of a comparison.

    Returns:
        PNG files by name: `norms`, `cosine`, `layers` (cosines layer by layer) and, where gains
        were measured, `gains`.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    pictures = {
        "norms": _draw_norms(comparison),
        "cosine": _draw_cosine(comparison),
        "layers": _draw_layers(comparison),
    }
    if comparison.gains is not None:
        pictures["gains"] = _draw_gains(comparison.gains)
    return pictures


def _draw_norms(comparison: Comparison) -> bytes:
    found = comparison.similarity
    names, groups = _names_and_groups(comparison)
    layers = short_names(found.layers)
    width = max(2.6, 0.5 * len(layers))
    figure = new_figure(2.4 + 2 * width, 1.8 + _CELL * len(names))
    left, right = figure.subplots(1, 2)
    panels = (
        (left, found.norms, "norm of each patch, ‖Δ‖₂", names),
        (
            right,
            found.relative_norms,
            "relative to the clean layer, ‖Δ‖₂ / ‖θ‖₂",
            [""] * len(names),
        ),
    )
    for axes, values, title, labels in panels:
        top = float(values.nan_to_num(0.0).max()) or 1.0
        drawn = draw_heat_map(axes, values, labels, layers, _UNSIGNED, (0.0, top))
        number_cells(axes, values, ".2f", dark=0.55 * top)
        _borders(axes, groups, None)
        axes.set_title(title, fontsize=9)
        figure.colorbar(drawn, ax=axes, shrink=0.6)
    return png_bytes(figure)


def _draw_cosine(comparison: Comparison) -> bytes:
    names, groups = _names_and_groups(comparison)
    figure = new_figure(3.4 + _CELL * len(names), 2.4 + _CELL * len(names))
    axes = figure.add_subplot()
    values = comparison.similarity.cosine
    drawn = draw_heat_map(axes, values, names, names, _SIGNED, (-1.0, 1.0))
    number_cells(axes, 100 * values, "z.0f", dark=60)
    _borders(axes, groups, groups)
    axes.set_title("cosine similarity between patches, in hundredths", fontsize=10, pad=18)
    figure.colorbar(drawn, ax=axes, shrink=0.7)
    return png_bytes(figure)


def _draw_layers(comparison: Comparison) -> bytes:
    found = comparison.similarity
    names, groups = _names_and_groups(comparison)
    count, blank = len(found.layers), [""] * len(names)
    columns = min(count, _MAPS_A_ROW)
    lines = ceil(count / columns)
    figure = new_figure(2.4 + 2.6 * columns, 0.6 + 2.9 * lines)
    grid = figure.subplots(lines, columns, squeeze=False).flatten()
    shown = zip(grid, short_names(found.layers), found.layer_cosine, strict=False)
    for place, (axes, layer, values) in enumerate(shown):
        labels = blank if place % columns else names
        drawn = draw_heat_map(axes, values, labels, blank, _SIGNED, (-1.0, 1.0), size=6)
        _borders(axes, groups, groups, size=6)
        axes.set_title(layer, fontsize=9, pad=14)
    for axes in grid[count:]:
        axes.set_visible(False)
    figure.suptitle("cosine similarity between patches, layer by layer", fontsize=10)
    figure.colorbar(drawn, ax=list(grid), shrink=0.7)
    return png_bytes(figure)


def _draw_gains(gains: Gains) -> bytes:
    names = [one.name for one in gains.signatures]
    groups = [one.group for one in gains.signatures]
    columns = [*gains.options.corruptions, "clean images"]
    column_groups = [*map(group_of, gains.options.corruptions), ""]
    values = torch.cat([gains.gains, gains.costs[:, None]], dim=1)
    top = max(1.0, float(values.abs().max()))
    figure = new_figure(3.4 + _CELL * len(columns), 2.6 + _CELL * len(names))
    axes = figure.add_subplot()
    drawn = draw_heat_map(axes, values, names, columns, _SIGNED, (-top, top))
    number_cells(axes, values, "z.0f", dark=0.6 * top)
    _borders(axes, groups, column_groups)
    axes.set_ylabel("patch")
    severity = f"severity {gains.options.severity:g}"
    axes.set_title(f"accuracy gained, in points, {severity}", fontsize=10, pad=18)
    figure.colorbar(drawn, ax=axes, shrink=0.7)
    return png_bytes(figure)


def _names_and_groups(comparison: Comparison) -> tuple[list[str], list[str]]:
    signatures = comparison.similarity.signatures
    return [one.name for one in signatures], [one.group for one in signatures]


def _borders(
    axes: Any, rows: Sequence[str], columns: Sequence[str] | None, *, size: float = 8
) -> None:
    """Draw lines between the groups, and their names on top and at the right."""
    for start, _, _ in _runs(rows):
        if start:
            axes.axhline(start - 0.5, color=_LINE, linewidth=1)
    for start, stop, name in _runs(columns or ()):
        if start:
            axes.axvline(start - 0.5, color=_LINE, linewidth=1)
        axes.annotate(
            name, ((start + stop - 1) / 2, 1.0), xycoords=("data", "axes fraction"), fontsize=size,
            xytext=(0, 3), textcoords="offset points", ha="center", annotation_clip=False,
        )  # fmt: skip


def _runs(groups: Sequence[str]) -> list[tuple[int, int, str]]:
    """(first, last + 1, name) of each run of equal names."""
    runs, start = [], 0
    for name, members in groupby(groups):
        stop = start + len(list(members))
        runs.append((start, stop, name))
        start = stop
    return runs
