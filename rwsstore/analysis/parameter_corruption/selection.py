"""Which parameters are corrupted: all, those of a component type, of a layer, of a module."""

__all__ = [
    "Group",
    "all_parameters",
    "by_layer",
    "by_module",
    "by_type",
    "named_group",
]

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from torch import nn

from rwsstore.errors import ConfigError, UnknownNameError
from rwsstore.models import ordered_layers
from rwsstore.models.graph import OPERATIONS, component_of

_ATTENTION, _OTHER = "attention", "other"


@dataclass(frozen=True)
class Group:
    """Parameters that are corrupted together: the subspace of k dimensions that w lies in.

    Attributes:
        name: for people.
        parameters: names as in `model.named_parameters()`, in its order; at least one.
        size: k, how many numbers they hold.
    """

    name: str
    parameters: tuple[str, ...]
    size: int


def all_parameters(model: nn.Module) -> Group:
    """Every parameter of floating point.

    Raises:
        ConfigError: there is none.
    """
    return named_group(model, _sizes(model), name="all")


def by_type(model: nn.Module) -> tuple[Group, ...]:
    """Sort parameters by the component that they belong to (figure 4 of the paper).

    The types: "conv" (convolutions), "norm" (Batch-, Instance-, Layer-, Group- and RMSNorm: their
    affine terms), "linear", "embedding", "attention" (everything inside `MultiheadAttention`) and
    "other". A bias belongs to its module. Types without a parameter are left out.

    Raises:
        ConfigError: the model has no parameter of floating point.
    """
    known = [row.component for row in OPERATIONS if row.component]
    kinds: dict[str, list[str]] = {name: [] for name in (*known, _OTHER)}
    attention: list[str] = []
    for path, module in model.named_modules():
        component = component_of(module) or _OTHER
        if component == _ATTENTION:
            attention.append(f"{path}." if path else "")
        inside = any(f"{path}.".startswith(prefix) for prefix in attention)
        kinds[_ATTENTION if inside else component] += _own(path, module)
    return _groups(model, kinds)


def by_layer(model: nn.Module) -> tuple[Group, ...]:
    """One group a layer, shallowest first; layers as in `rwsstore.models.ordered_layers`.

    Raises:
        ConfigError: the model cannot be traced, or has no layer or parameter.
    """
    return _groups(model, {layer.name: layer.parameters for layer in ordered_layers(model)})


def by_module(model: nn.Module) -> tuple[Group, ...]:
    """One group for each module that has parameters of its own, in the order of registration.

    Those of the model itself, outside all modules, are the group "(model)".

    Raises:
        ConfigError: the model has no parameter of floating point.
    """
    owned = {path or "(model)": _own(path, module) for path, module in model.named_modules()}
    return _groups(model, owned)


def named_group(model: nn.Module, names: Iterable[str], *, name: str = "chosen") -> Group:
    """Choose parameters by their names.

    Args:
        model: whose they are.
        names: as in `model.named_parameters()`; of a tied parameter the first name.
        name: of the group.

    Raises:
        ConfigError: none is named, or one twice.
        UnknownNameError: the model has no such parameter of floating point.
    """
    chosen, sizes = list(names), _sizes(model)
    if not chosen or len(set(chosen)) != len(chosen):
        raise ConfigError(
            f"the parameters to corrupt are {chosen or 'none'}; expected one or more, each once"
        )
    for wanted in chosen:
        if wanted not in sizes:
            raise UnknownNameError("parameter", wanted, sizes)
    ordered = tuple(own for own in sizes if own in set(chosen))
    return Group(name, ordered, sum(sizes[own] for own in ordered))


def _sizes(model: nn.Module) -> dict[str, int]:
    return {
        name: parameter.numel()
        for name, parameter in model.named_parameters()
        if parameter.is_floating_point() and parameter.numel()
    }


def _groups(model: nn.Module, owned: Mapping[str, Iterable[str]]) -> tuple[Group, ...]:
    """Make a group of each, without those that are empty; a tied parameter counts once."""
    left = _sizes(model)
    found = []
    for name, parameters in owned.items():
        sizes = {one: left.pop(one) for one in parameters if one in left}
        if sizes:
            found.append(Group(name, tuple(sizes), sum(sizes.values())))
    if not found:
        raise ConfigError(f"{type(model).__name__} has no parameter that could be corrupted")
    return tuple(found)


def _own(path: str, module: nn.Module) -> Iterator[str]:
    for name, _ in module.named_parameters(path, recurse=False):
        yield name
