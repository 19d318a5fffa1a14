"""Names of layers as people read them."""

from collections.abc import Sequence

from torch import nn

from rwsstore.errors import ConfigError, UnknownNameError
from rwsstore.models.layers import ordered_layers


def short_names(names: Sequence[str]) -> list[str]:
    """Leave out what all names begin with: `network.features.conv1` becomes `conv1`."""
    paths = [name.split(".") for name in names]
    shared = 0
    while paths and all(
        len(path) > shared + 1 and path[shared] == paths[0][shared] for path in paths
    ):
        shared += 1
    return [".".join(path[shared:]) for path in paths]


def parse_layers(model: nn.Module, text: str) -> tuple[str, ...]:
    """Read `1-3`, `1,4` or names of layers, whole or their last part: `conv2`.

    Numbers count from the shallowest layer, 1.

    Returns:
        Names of layers in the order given.

    Raises:
        ConfigError: nothing is named, a number is out of range, a layer is named twice, or a
            part of a name is that of several.
        UnknownNameError: no such layer.
    """
    names = [layer.name for layer in ordered_layers(model)]
    chosen = [name for item in text.split(",") for name in _find(names, item.strip())]
    if not chosen or len(set(chosen)) != len(chosen):
        raise ConfigError(f"layers {text!r} name none, or one twice")
    return tuple(chosen)


def _find(names: list[str], item: str) -> list[str]:
    first, dash, last = item.partition("-")
    ends = [first, last] if dash else [first, first]
    if all(end.isdecimal() and end.isascii() for end in ends):
        low, high = int(ends[0]), int(ends[1])
        if not 1 <= low <= high <= len(names):
            raise ConfigError(f"layers {item!r}; this model has layers 1 to {len(names)}")
        return names[low - 1 : high]
    found = [name for name in names if name == item or name.endswith(f".{item}")]
    if item in found:
        return [item]
    if len(found) > 1:
        raise ConfigError(f"layer {item!r} may be {', '.join(found)}: give the whole name")
    if not found or not item:
        raise UnknownNameError("layer", item, names)
    return found
