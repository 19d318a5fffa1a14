"""A comparison as heat maps, with lines between the groups."""

__all__ = ["draw_comparison"]

from collections.abc import Sequence
from itertools import groupby
from math import ceil
from typing import Any

import torch

from rwsstore.analysis.comparison import Comparison
from rwsstore.analysis.gains import Gains
from rwsstore.analysis.names import short_names
from rwsstore.analysis.signatures import group_of
from rwsstore.drawing import draw_heat_map, new_figure, number_cells, png_bytes

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
    names, groups = _patches(comparison)
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
    names, groups = _patches(comparison)
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
    names, groups = _patches(comparison)
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


def _patches(comparison: Comparison) -> tuple[list[str], list[str]]:
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
