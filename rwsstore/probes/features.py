"""What layers make of one image, with patches on the model and without, and a picture of it.

Cai et al., Robust Weight Signatures, ICML 2023, figure 9.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rwsstore.attacks.pgd import layer_outputs
from rwsstore.drawing import new_figure, png_bytes
from rwsstore.errors import ConfigError, TensorError
from rwsstore.models import named_layers, short_names, touched_layers
from rwsstore.patches import Request
from rwsstore.probes.report import Report
from rwsstore.runtime import LiveModel, PatchSource


@dataclass(frozen=True, eq=False)
class View:
    """A model that looks at an image.

    Attributes:
        label: which model, and at what.
        image: as the network is given it; uint8 [3, H, W].
        predicted: index of the class with the largest logit.
        probability: of that class, by softmax; 0 to 1.
    """

    label: str
    image: Tensor
    predicted: int
    probability: float


@dataclass(frozen=True, eq=False)
class LayerMaps:
    """Some channels of one layer's output.

    Attributes:
        layer: name of the layer; the maps are its output, before any activation that follows.
        channels: those that the patches change most (mean absolute difference), that first.
        maps: of each view, in their order; float32 [views, channels, H, W].
        change: ‖patched − clean‖₂ / ‖clean‖₂ over all channels; 0 where both are zeros.
        distances: the same of the clean and of the patched model from the clean model on the
            uncorrupted image; None without such an image.
    """

    layer: str
    channels: tuple[int, ...]
    maps: Tensor
    change: float
    distances: tuple[float, float] | None


@dataclass(frozen=True, eq=False)
class FeatureMaps(Report):
    """Views of one image, and what each layer makes of them.

    Attributes:
        views: the clean model, the patched model and, where an uncorrupted image was given, the
            clean model on that.
        layers: in the order asked for.
        classes: their names; without any they have numbers.
    """

    views: tuple[View, ...]
    layers: tuple[LayerMaps, ...]
    classes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """What was predicted, and which channels are shown; without the maps."""
        return {
            "views": [
                {
                    "label": view.label,
                    "predicted": view.predicted,
                    "class": self.classes[view.predicted] if self.classes else None,
                    "probability": view.probability,
                }
                for view in self.views
            ],
            "layers": [
                {
                    "name": layer.layer,
                    "channels": list(layer.channels),
                    "change": layer.change,
                    "distances": layer.distances,
                }
                for layer in self.layers
            ],
        }

    def parts(self) -> Iterator[str]:
        """A line a view and a line a layer."""
        for view in self.views:
            yield f"{view.label}: {self._named(view)}, {view.probability:.1%}"
        names = short_names([layer.layer for layer in self.layers])
        for name, layer in zip(names, self.layers, strict=True):
            line = f"{name}: the patches change its output by {layer.change:.1%}"
            if layer.distances is not None:
                clean, patched = layer.distances
                line += f"; from the uncorrupted one: clean {clean:.1%}, patched {patched:.1%}"
            yield line

    def pictures(self) -> Mapping[str, bytes]:
        """What the models saw and predicted, and below it layer by layer their feature maps.

        A row for each view; each channel has one colour scale in all of its rows.
        """
        views = len(self.views)
        columns = max(len(layer.channels) for layer in self.layers)
        heights = [1.9] + [_CELL * views + 0.35] * len(self.layers)
        figure = new_figure(max(6.5, 1.3 + _CELL * columns), sum(heights))
        first, *others = figure.subfigures(
            len(heights), 1, height_ratios=heights, squeeze=False
        )[:, 0]  # fmt: skip
        grid = first.subplots(1, views, squeeze=False)[0]
        for axes, view, letter in zip(grid, self.views, "ABC", strict=False):
            axes.imshow(view.image.permute(1, 2, 0).numpy(), interpolation="nearest")
            axes.set_axis_off()
            told = f"{letter}: {view.label}\n{self._named(view)}, {view.probability:.0%}"
            axes.set_title(told, fontsize=8)
        names = short_names([layer.layer for layer in self.layers])
        for part, layer, name in zip(others, self.layers, names, strict=True):
            _draw_layer(part, layer, name, columns, views)
        return {"": png_bytes(figure)}

    def _named(self, view: View) -> str:
        return self.classes[view.predicted] if self.classes else f"class {view.predicted}"


def feature_maps(
    model: nn.Module,
    patches: Request,
    source: PatchSource,
    image: Tensor,
    *,
    layers: Sequence[str] | None = None,
    channels: int = 6,
    uncorrupted: Tensor | None = None,
    allow_transfer: bool = False,
    classes: tuple[str, ...] = (),
) -> FeatureMaps:
    """Show an image to a model with patches and without.

    The model is left as it is: a copy of it looks at the images, and nothing stays hooked to it.

    Args:
        model: the clean model, traceable.
        patches: name, version or digest → α (None: the recommended one).
        source: where they are found.
        image: uint8 [3, H, W].
        layers: names, as `ordered_layers` has them; by default those that the patches change
            and that give feature maps.
        channels: how many of each layer, at most.
        uncorrupted: the image before it was corrupted, of the same size.
        allow_transfer: accept patches that were extracted from other clean weights.
        classes: their names, for the report.

    Raises:
        ConfigError: no patch, or none of a strength other than 0; `channels` below 1; a layer that
            is unknown, or gives no feature maps.
        TensorError: an image of another dtype or shape.
        RwsError: as `LiveModel.variant` does, for patches that may not be put on.
    """
    if channels < 1:
        raise ConfigError(f"channels is {channels}; expected 1 or more")
    for given in (image, uncorrupted):
        if given is None:
            continue
        if given.dtype != torch.uint8 or given.shape != image.shape or given.shape[:-2] != (3,):
            raise TensorError(
                f"an image is {given.dtype} {list(given.shape)}; expected uint8 [3, H, W], all of "
                "one size"
            )
    live = LiveModel(model, source, allow_transfer=allow_transfer)
    patched = live.variant(patches)
    if not len(patched.patches):
        raise ConfigError("no patch is put on: name one, with an alpha other than 0")
    chosen = (
        touched_layers(model, patched.patched) if layers is None else named_layers(model, layers)
    )
    names = [layer.name for layer in chosen]
    clean = live.variant({})
    label = ", ".join(f"{patched.names[digest]}={alpha:g}" for digest, alpha in patched.patches)
    shown = [("clean model", clean, image), (label, patched, image)]
    if uncorrupted is not None:
        shown.append(("clean model, uncorrupted image", clean, uncorrupted))
    views, outputs = [], []
    for text, variant, pixels in shown:
        with torch.no_grad():
            logits, found = layer_outputs(variant.module, names, pixels[None])
        probabilities = logits.double().softmax(1)[0]
        predicted = int(probabilities.argmax())
        views.append(View(text, pixels, predicted, float(probabilities[predicted])))
        outputs.append(dict(zip(names, found, strict=True)))
    kept = [name for name in names if layers is not None or outputs[0][name].ndim == 4]
    if not kept:
        raise ConfigError("the patches change no layer that gives feature maps: name some layers")
    return FeatureMaps(
        views=tuple(views),
        layers=tuple(
            _layer_maps(name, [found[name] for found in outputs], channels) for name in kept
        ),
        classes=classes,
    )


def _layer_maps(name: str, outputs: Sequence[Tensor], channels: int) -> LayerMaps:
    if outputs[0].ndim != 4:
        raise ConfigError(
            f"layer {name!r} gives no feature maps: its output has the shape "
            f"{list(outputs[0].shape)}; expected [1, channels, height, width]"
        )
    views = torch.cat(list(outputs))
    clean, patched = views[0], views[1]
    difference = (patched - clean).abs().mean((1, 2))
    chosen = difference.argsort(descending=True, stable=True)[:channels]
    distances = None
    if len(views) > 2:
        distances = _distance(clean, views[2]), _distance(patched, views[2])
    return LayerMaps(
        layer=name,
        channels=tuple(chosen.tolist()),
        maps=views[:, chosen],
        change=_distance(patched, clean),
        distances=distances,
    )


def _distance(one: Tensor, other: Tensor) -> float:
    """‖one − other‖₂ / ‖other‖₂."""
    apart, size = float((one - other).double().norm()), float(other.double().norm())
    return apart / size if size > 0 else apart


_COLOURS = "viridis"
_CELL = 1.15


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
