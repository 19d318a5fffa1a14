"""Feature maps as one picture."""

__all__ = ["draw_features"]

from collections.abc import Sequence
from typing import Any

from rwsstore.analysis.features import FeatureMaps, LayerMaps
from rwsstore.analysis.names import short_names
from rwsstore.drawing import new_figure, png_bytes

_COLOURS = "viridis"
_CELL = 1.15


def draw_features(features: FeatureMaps, classes: Sequence[str] = ()) -> bytes:
    """Draw what the models saw and predicted, and below it layer by layer their feature maps.

    A row for each view; each channel has one colour scale in all of its rows.

    Args:
        features: to draw.
        classes: names of the classes; their numbers by default.

    Returns:
        A PNG file.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    views = len(features.views)
    columns = max(len(layer.channels) for layer in features.layers)
    heights = [1.9] + [_CELL * views + 0.35] * len(features.layers)
    figure = new_figure(max(6.5, 1.3 + _CELL * columns), sum(heights))
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    _draw_views(parts[0], features, classes)
    names = short_names([layer.layer for layer in features.layers])
    for part, layer, name in zip(parts[1:], features.layers, names, strict=True):
        _draw_layer(part, layer, name, columns, views)
    return png_bytes(figure)


def _draw_views(figure: Any, features: FeatureMaps, classes: Sequence[str]) -> None:
    grid = figure.subplots(1, len(features.views), squeeze=False)[0]
    letters = "ABC"
    for axes, view, letter in zip(grid, features.views, letters, strict=False):
        axes.imshow(view.image.permute(1, 2, 0).numpy(), interpolation="nearest")
        axes.set_axis_off()
        name = classes[view.predicted] if classes else f"class {view.predicted}"
        axes.set_title(f"{letter}: {view.label}\n{name}, {view.probability:.0%}", fontsize=8)


def _draw_layer(figure: Any, layer: LayerMaps, name: str, columns: int, views: int) -> None:
    change = f"{name}: A and B differ by {layer.change:.0%}"
    if layer.distances is not None:
        far, near = layer.distances
        change += f"; from C, A differs by {far:.0%} and B by {near:.0%}"
    figure.suptitle(change, fontsize=8, x=0.01, ha="left")
    grid = figure.subplots(views, columns, squeeze=False)
    for row, line in enumerate(grid):
        for place, axes in enumerate(line):
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
            if place >= len(layer.channels):
                axes.set_visible(False)
                continue
            every = layer.maps[:, place]
            axes.imshow(
                layer.maps[row, place].numpy(), cmap=_COLOURS, interpolation="nearest",
                vmin=float(every.min()), vmax=float(every.max()),
            )  # fmt: skip
            if row == 0:
                axes.set_title(f"channel {layer.channels[place]}", fontsize=6, pad=2)
        line[0].set_ylabel("ABC"[row], rotation=0, fontsize=9, ha="right", va="center")
