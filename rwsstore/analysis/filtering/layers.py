"""Which layers are filtered, and which parameters go with each."""

__all__ = ["filtered_layers", "parameters_of"]

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from rwsstore.errors import ConfigError
from rwsstore.models import ordered_layers, scratch_copy
from rwsstore.models.graph import is_layer


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
        if _can_be_filtered(module):
            module.register_forward_pre_hook(partial(_note, called, name))
    with torch.no_grad():
        copied(images[:1])
    weights = {id(copied.get_submodule(name).weight): name for name in reversed(called)}
    found = [name for name in dict.fromkeys(called) if name in weights.values()]
    if layers is not None:
        found = [name for name in found if _lies_in(name, _known(model, layers))]
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
    names = [name for name, _ in model.named_parameters()]
    around = [_layer_around(model, name) for name in names]
    owned: dict[str, list[str]] = {name: [] for name in filtered}
    owner = next(filter(None, around), None)
    for name, layer in zip(names, around, strict=True):
        owner = layer or owner
        if owner in owned:
            owned[owner].append(name)
    return {name: tuple(parameters) for name, parameters in owned.items()}


def _layer_around(model: nn.Module, parameter: str) -> str | None:
    """Path of the layer, filtered or not, that a parameter lies in."""
    path, _, _ = parameter.rpartition(".")
    while path and not is_layer(model.get_submodule(path)):
        path, _, _ = path.rpartition(".")
    return path or None


def _can_be_filtered(module: nn.Module) -> bool:
    if not isinstance(module, nn.Conv2d | nn.Linear):
        return False
    return isinstance(dict(module.named_parameters(recurse=False)).get("weight"), nn.Parameter)


def _note(called: list[str], name: str, *_: object) -> None:
    called.append(name)


def _known(model: nn.Module, layers: Sequence[str]) -> tuple[str, ...]:
    known = [layer.name for layer in ordered_layers(model)]
    unknown = [name for name in layers if name not in known]
    if unknown or not layers or len(set(layers)) != len(layers):
        raise ConfigError(
            f"layers are {list(layers)}; expected some of {', '.join(known)}, each once"
        )
    return tuple(layers)


def _lies_in(name: str, layers: Sequence[str]) -> bool:
    return any(name == layer or name.startswith(f"{layer}.") for layer in layers)
