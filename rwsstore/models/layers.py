"""A model's layers in the order in which the forward pass meets them, and their names."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import islice

from torch import fx, nn

from rwsstore.errors import ConfigError, UnknownNameError
from rwsstore.models.graph import Graph, enclosing, is_convolution, is_layer

_Leaves = Iterable[type[nn.Module]]


@dataclass(frozen=True)
class Layer:
    """One layer: a convolution or linear module, or a whole residual block.

    Attributes:
        name: path of the module.
        parameters: names of its tensors, as in the model's `state_dict()` and in its order.
    """

    name: str
    parameters: tuple[str, ...]


def ordered_layers(model: nn.Module, *, leaves: _Leaves = ()) -> tuple[Layer, ...]:
    """List a model's layers, shallowest first.

    A layer is a convolution or linear module in the order of the forward pass. A residual block
    is one layer: the innermost module whose forward adds two activations and which holds a layer,
    but not all of them; of nested blocks the outermost counts. A module that is called twice is
    listed where it is called first.

    Every parameter that the forward pass reads belongs to exactly one layer. Those outside layers
    (the affine terms of a normalization, a position embedding) belong to the layer that was met
    last before them, those before every layer to the first. So the shallowest K layers are all
    that is trained before the layer K + 1. Buffers, running statistics among them, belong to none.

    Raises:
        ConfigError: the model cannot be traced, or has no layer.
    """
    graph = Graph(model, leaves)
    units = _residual_units(graph)
    names = {id(p): name for name, p in model.named_parameters()}
    owned: dict[str, list[str]] = {}
    early: list[str] = []
    for node in graph.nodes:
        fresh = [names.pop(id(p)) for p in graph.tensors(node) if id(p) in names]
        layer = next((path for path in enclosing(node) if path in units), None)
        if layer is None and _calls_layer(graph, node):
            layer = str(node.target)
        if layer is not None and (layer in owned or fresh):
            owned.setdefault(layer, []).extend(fresh)
        else:
            (owned[next(reversed(owned))] if owned else early).extend(fresh)
    if not owned:
        raise ConfigError(
            f"{type(model).__name__} calls no convolution and no linear module, so it has no layers"
        )
    owned[next(iter(owned))].extend(early)
    order = {name: place for place, (name, _) in enumerate(model.named_parameters())}
    return tuple(
        Layer(name, tuple(sorted(own, key=order.__getitem__))) for name, own in owned.items()
    )


def shallowest(model: nn.Module, k: int, *, leaves: _Leaves = ()) -> tuple[Layer, ...]:
    """List the first `k` of a model's layers.

    Raises:
        ConfigError: there are not so many, or as for `ordered_layers`.
    """
    layers = ordered_layers(model, leaves=leaves)
    if not 1 <= k <= len(layers):
        raise ConfigError(f"the shallowest {k} layers were asked for; the model has {len(layers)}")
    return layers[:k]


def named_layers(model: nn.Module, names: Sequence[str]) -> tuple[Layer, ...]:
    """Find some of a model's layers by their names, in the order given.

    Raises:
        ConfigError: none is named, one that the model does not have, or one twice.
    """
    known = {layer.name: layer for layer in ordered_layers(model)}
    if not names or not known.keys() >= set(names) or len(set(names)) != len(names):
        raise ConfigError(
            f"layers are {', '.join(names) or 'none'}; expected some of {', '.join(known)}, each "
            "once"
        )
    return tuple(known[name] for name in names)


def touched_layers(model: nn.Module, tensors: Iterable[str]) -> tuple[Layer, ...]:
    """List the layers to which some tensors belong, shallowest first; tensors by name."""
    touched = frozenset(tensors)
    return tuple(one for one in ordered_layers(model) if not touched.isdisjoint(one.parameters))


def _calls_layer(graph: Graph, node: fx.Node) -> bool:
    return node in graph.modules and any(map(is_layer, graph.modules[node].modules()))


def _residual_units(graph: Graph) -> Set[str]:
    calls = {str(node.target): node for node in graph.nodes if _calls_layer(graph, node)}
    held = Counter(path for node in calls.values() for path in enclosing(node))
    units: set[str] = set()
    for node in _joining_additions(graph):
        inner = (path for path in reversed(enclosing(node)) if 0 < held[path] < len(calls))
        units.update(islice(inner, 1))
    return units


def _joining_additions(graph: Graph) -> Iterator[fx.Node]:
    """Yield the operations that add two different activations."""
    activations: set[fx.Node] = set()
    for node in graph.nodes:
        inputs = [source for source in node.all_input_nodes if source in activations]
        row = graph.operation(node)
        if node.op == "placeholder" or (inputs and (row is None or row.name != "description")):
            activations.add(node)
        if row is not None and row.channels == "sum" and len(inputs) > 1:
            yield node


def main_path_convolutions(model: nn.Module, *, leaves: _Leaves = ()) -> tuple[str, ...]:
    """List a model's convolutions without those on shortcuts: the layers of CLAT.

    A shortcut is the branch with fewer convolutions of the two that an addition joins; of equal
    ones, that with the smaller kernels; where these are equal too, both are main paths. Branches
    that are concatenated, as in DenseNet, are all main paths.

    Returns:
        Paths of the `nn.Conv2d` modules, each once, where it is first called; those inside of
        `leaves` are not seen.

    Raises:
        ConfigError: the model cannot be traced, or has no such convolution.
    """
    graph = Graph(model, leaves)
    called = {str(node.target): None for node, one in graph.modules.items() if is_convolution(one)}
    before: dict[fx.Node, Set[str]] = {}  # paths of the convolutions that lie before a node
    for node in graph.nodes:
        own = {str(node.target)} & called.keys() if node in graph.modules else set()
        before[node] = own.union(*(before[source] for source in node.all_input_nodes))
    shortcuts: set[str] = set()
    for node in _joining_additions(graph):
        shortcuts |= _shortcut(model, [before[source] for source in node.all_input_nodes])
    found = tuple(name for name in called if name not in shortcuts)
    if not found:
        raise ConfigError(
            f"{type(model).__name__} calls no Conv2d, so it has no layers whose criticality could "
            "be measured: this is for convolutional networks"
        )
    return found


def _shortcut(model: nn.Module, branches: Sequence[Set[str]]) -> Set[str]:
    """The convolutions of the shorter of two branches; none where there is no shorter one."""
    if len(branches) != 2:
        return frozenset()
    first, second = branches[0] - branches[1], branches[1] - branches[0]
    sizes = []
    for branch in (first, second):
        kernels = [model.get_submodule(name).kernel_size for name in branch]
        taps = sum(math.prod(kernel) for kernel in kernels if isinstance(kernel, tuple))
        sizes.append((len(branch), taps))
    if sizes[0] == sizes[1]:
        return frozenset()
    return first if sizes[0] < sizes[1] else second


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
