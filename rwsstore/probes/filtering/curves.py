"""Accuracy of a network while one layer's weights are filtered away, clean and under attack.

Pravin et al., "Fragility, Robustness and Antifragility in Deep Learning", 2023 (arXiv 2312.09821).
The names h1, h2 and h3 for its three filters are our own choice.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from rwsstore.attacks import Fgsm
from rwsstore.data import check_labels, unit_images
from rwsstore.errors import ConfigError, TensorError, UnknownNameError
from rwsstore.files import Results
from rwsstore.measure.accuracy import correct_under, correctness, from_digits, percent, to_digits
from rwsstore.models import check_evaluating, named_layers, scratch_copy
from rwsstore.models.graph import is_convolution, is_layer
from rwsstore.progress import SILENT, Reporter


def filtered_layers(
    model: nn.Module, images: Tensor, layers: Sequence[str] | None = None
) -> tuple[str, ...]:
    """List the convolutions (Conv2d) and linear layers that the forward pass calls, in its order.

    A module whose weight is another's is left out after the first, one whose weight is computed
    anew in each pass (weight norm) altogether: there is nothing to filter in place.

    Args:
        model: in evaluation mode; a copy is run once.
        images: [B, 3, H, W], of which the first is shown.
        layers: only what lies in these, names as in `ordered_layers`; a residual block stands for
            its convolutions. None: everywhere.

    Returns:
        Paths of modules.

    Raises:
        ConfigError: a layer that the model does not have, or nothing to filter.
    """
    copied, called = scratch_copy(model), list[str]()
    for name, module in copied.named_modules():
        own = dict(module.named_parameters(recurse=False)).get("weight")
        layer = is_convolution(module) or isinstance(module, nn.Linear)
        if layer and isinstance(own, nn.Parameter):
            module.register_forward_pre_hook(lambda *_, name=name: called.append(name))
    with torch.no_grad():
        copied(images[:1])
    weights = {id(copied.get_submodule(name).weight): name for name in reversed(called)}
    found = [name for name in dict.fromkeys(called) if name in weights.values()]
    if layers is not None:
        inside = tuple(f"{layer.name}." for layer in named_layers(model, layers))
        found = [name for name in found if f"{name}.".startswith(inside)]
    if not found:
        there = " there" if layers else ""
        raise ConfigError(
            f"{type(model).__name__} has nothing to filter{there}: its forward pass calls no "
            "Conv2d and no Linear"
        )
    return tuple(found)


def parameters_of(model: nn.Module, filtered: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Give every parameter to a filtered layer, as far as it can be.

    A layer has its own weight and bias, and what follows them in the model's order of parameters
    up to the next layer's (a normalization's scales); the model's first layer has what comes before
    it too. What would go with a layer that is not filtered goes with none.

    Args:
        model: any module.
        filtered: from `filtered_layers`.

    Returns:
        Names of parameters by layer, in the order of `filtered`.
    """
    around = {}
    for name, _ in model.named_parameters():
        path, _, _ = name.rpartition(".")
        while path and not is_layer(model.get_submodule(path)):
            path, _, _ = path.rpartition(".")
        around[name] = path
    owned: dict[str, list[str]] = {name: [] for name in filtered}
    owner = next(filter(None, around.values()), "")
    for name, layer in around.items():
        owner = layer or owner
        if owner in owned:
            owned[owner].append(name)
    return {name: tuple(parameters) for name, parameters in owned.items()}


_PULSE = 50
"""The pulse reaches this part of the weights' range to either side of the threshold."""


def high_pass(weights: Tensor, threshold: float) -> Tensor:
    """Ideal high-pass filter: tell which weights, with their signs, are above the threshold."""
    return weights.double() > threshold  # whatever their dtype, the threshold is not rounded


def low_pass(weights: Tensor, threshold: float) -> Tensor:
    """Ideal low-pass filter: keep the weights below the threshold."""
    return weights.double() < threshold


def pulse(weights: Tensor, threshold: float) -> Tensor:
    """Pulse filter: keep the weights further than a 50th of their range from the threshold."""
    low, high = weights.aminmax()
    width = (float(high) - float(low)) / _PULSE
    return (weights.double() - threshold).abs() > width


@dataclass(frozen=True)
class Filter:
    """One filter, as a row of the registry.

    Attributes:
        name: in the registry.
        title: what people call it.
        keep: weights and threshold to what is kept.
        rising: whether the thresholds rise from the smallest weight to the largest, or fall.
    """

    name: str
    title: str
    keep: Callable[[Tensor, float], Tensor]
    rising: bool = True

    def thresholds(self, weights: Tensor, count: int) -> list[float]:
        """Space thresholds evenly over the range of a layer's weights.

        Args:
            weights: of the layer.
            count: how many, 2 or more.

        Returns:
            The smallest weight, ..., the largest, or the other way round; both ends are exact.
        """
        low, high = (float(end) for end in weights.aminmax())
        last = count - 1
        between = [(low * (last - step) + high * step) / last for step in range(1, last)]
        rising = [low, *between, high]
        return rising if self.rising else rising[::-1]


FILTERS: Mapping[str, Filter] = MappingProxyType(
    {
        row.name: row
        for row in (
            Filter("h1", "high-pass", high_pass),
            Filter("h2", "low-pass", low_pass, rising=False),
            Filter("h3", "pulse", pulse),
        )
    }
)
"""The filters by name."""


def parse_filters(text: str) -> tuple[str, ...]:
    """Read `all`, or names: `h1,h3`.

    Raises:
        ConfigError: one is named twice.
        UnknownNameError: no such filter.
    """
    names = tuple(FILTERS) if text == "all" else tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in FILTERS:
            raise UnknownNameError("filter", name, FILTERS)
    if len(set(names)) != len(names):
        raise ConfigError(f"filters {text!r} name one twice")
    return names


@dataclass(frozen=True)
class FilteringOptions:
    """How the curves are measured.

    Attributes:
        epsilon: ε of FGSM in units of [0, 1] images, above 0 and at most 1; 0.015 is the authors'
            for ResNet-18 on CIFAR-10.
        filters: names, none of them twice.
        thresholds: for each layer and filter, 3 or more, an odd number (Simpson's rule).
        batch_size: images a step.

    Raises:
        ConfigError: one is out of its range.
        UnknownNameError: no such filter.
    """

    epsilon: float = 0.015
    filters: tuple[str, ...] = tuple(FILTERS)
    thresholds: int = 25
    batch_size: int = 250

    def __post_init__(self) -> None:
        Fgsm(self.epsilon)  # refuses what is out of its range
        parse_filters(",".join(self.filters))
        if self.thresholds < 3 or self.thresholds % 2 == 0:
            raise ConfigError(f"thresholds is {self.thresholds}; expected an odd number from 3 on")
        if self.batch_size < 1:
            raise ConfigError(f"batch_size is {self.batch_size}; expected 1 or more")


@dataclass(frozen=True, eq=False)
class FilterCurve:
    """One layer under one filter, at T thresholds.

    Attributes:
        layer: path of the module.
        filter: h1, h2 or h3.
        thresholds: a, float64 [T].
        remaining: D(a), the share of the layer's weights that remain, float64 [T].
        clean: which images the filtered network gets right, bool [T, N]; A(a) is their share.
        attacked: which it gets right and still does under FGSM, bool [T, N]; B(a) is their share.
    """

    layer: str
    filter: str
    thresholds: Tensor
    remaining: Tensor
    clean: Tensor
    attacked: Tensor

    @property
    def accuracy(self) -> Tensor:
        """A(a) in percent, float64 [T]."""
        return 100.0 * self.clean.double().mean(1)

    @property
    def attacked_accuracy(self) -> Tensor:
        """B(a) in percent, float64 [T]."""
        return 100.0 * self.attacked.double().mean(1)


@dataclass(frozen=True, eq=False)
class FilteringCurves:
    """All layers under all filters.

    Attributes:
        curves: layer by layer, shallowest first, filter by filter.
        options: as measured.
        classes: C.
        images: N.
        accuracy: of the network as it is, in percent.
        attacked_accuracy: the same under FGSM.
    """

    curves: tuple[FilterCurve, ...]
    options: FilteringOptions
    classes: int
    images: int
    accuracy: float
    attacked_accuracy: float

    @property
    def layers(self) -> tuple[str, ...]:
        """Paths of the layers, shallowest first."""
        return tuple(dict.fromkeys(curve.layer for curve in self.curves))

    def of(self, layer: str) -> tuple[FilterCurve, ...]:
        """A layer's curves, filter by filter."""
        return tuple(curve for curve in self.curves if curve.layer == layer)


def measure_curves(
    model: nn.Module,
    images: Tensor,
    labels: Tensor | None,
    options: FilteringOptions | None = None,
    *,
    layers: Sequence[str] | None = None,
    results: Results | None = None,
    prefix: str = "",
    progress: Reporter = SILENT,
) -> FilteringCurves:
    """Filter every layer of a copy of a network, one at a time, and see what it still gets right.

    FGSM is computed on the filtered network at every threshold. An image that the filtered network
    gets wrong without an attack counts as wrong with one (our own choice: it is what accuracy
    under attack means elsewhere in this library, and makes B(a) ≤ A(a)); so does one whose logits
    are not finite.

    Args:
        model: any module in evaluation mode; left as it is, to the bit.
        images: uint8 or floats in [0, 1]; [N, 3, H, W].
        labels: int64 [N].
        options: filters, thresholds and ε.
        layers: as in `filtered_layers`.
        results: what was measured before; all that the numbers depend on is in its identity.
        prefix: of the keys in `results`.
        progress: counts layers and filters.

    Raises:
        ConfigError: the model cannot be run in evaluation mode, or as for `filtered_layers`.
        TensorError: images of another dtype or shape or out of range, or a layer's weights are
            not finite.
        DataError: no labels, or labels that do not fit.
    """
    chosen = options or FilteringOptions()
    units = unit_images(images)
    classes = check_evaluating(model, units)
    known = check_labels(labels, len(units), classes)
    names = filtered_layers(model, units, layers)
    for layer in names:
        if not bool(_weight(model, layer).isfinite().all()):
            raise TensorError(f"the weights of {layer} are NaN or infinite: they have no range")
    kept = Results(None, {}) if results is None else results  # an empty one is false
    scratch, attack, size = scratch_copy(model), Fgsm(chosen.epsilon), chosen.batch_size

    def right() -> tuple[Tensor, Tensor]:
        """Which images are right, and which of them still are under FGSM; bool [N] each."""
        found = correctness(scratch, units, known, batch_size=size)
        standing = torch.zeros_like(found)
        standing[found] = correct_under(
            scratch, [attack], units[found], known[found], batch_size=size, early_exit=False
        )
        return found, standing

    def curve(layer: str, name: str) -> dict[str, list[Any]]:
        """Measure one layer under one filter; JSON values."""
        weight, row = _weight(scratch, layer), FILTERS[name]
        before, thresholds = weight.clone(), row.thresholds(weight, chosen.thresholds)
        found: dict[str, list[Any]] = {"thresholds": thresholds}
        found |= {key: [] for key in ("remaining", "clean", "attacked")}
        for threshold in thresholds:
            keep = row.keep(before, threshold)
            weight.copy_(before).masked_fill_(~keep, 0.0)
            clean, standing = right()
            found["remaining"].append(float(keep.double().mean()))
            found["clean"].append(to_digits(clean))
            found["attacked"].append(to_digits(standing))
        weight.copy_(before)
        return found

    with progress.task("filtering", total=len(names) * len(chosen.filters)) as task:
        base = kept.value(f"{prefix}unfiltered", lambda: [percent(one) for one in right()])
        curves = []
        for layer in names:
            for name in chosen.filters:
                found = kept.value(f"{prefix}{layer}/{name}", partial(curve, layer, name))
                columns = torch.tensor(
                    [found["thresholds"], found["remaining"]], dtype=torch.float64
                )
                rows = [torch.stack([*map(from_digits, found[k])]) for k in ("clean", "attacked")]
                curves.append(FilterCurve(layer, name, *columns, *rows))
                task.advance(note=f"{layer}, {name}")
    return FilteringCurves(tuple(curves), chosen, classes, len(units), *base)


def _weight(model: nn.Module, layer: str) -> Tensor:
    return model.get_submodule(layer).get_parameter("weight")
