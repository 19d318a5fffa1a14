"""The convolutions of a network's main path, in the order of the forward pass."""

__all__ = ["main_path_convolutions"]

import math
from collections.abc import Iterable, Mapping, Sequence, Set

from torch import fx, nn

from rwsstore.errors import ConfigError
from rwsstore.models.layers import joining_additions
from rwsstore.models.tracing import trace

_Sources = Mapping[fx.Node, Set[str]]
"""Paths of the convolutions that lie before a node."""


def main_path_convolutions(
    model: nn.Module, *, leaves: Iterable[type[nn.Module]] = ()
) -> tuple[str, ...]:
    """List a model's convolutions without those on shortcuts: the layers of CLAT.

    A shortcut is the branch with fewer convolutions of the two that an addition joins; of equal
    ones, that with the smaller kernels; where these are equal too, both are main paths. Branches
    that are concatenated, as in DenseNet, are all main paths.

    Args:
        model: any traceable module.
        leaves: classes of modules that are taken as one piece; convolutions inside are not seen.

    Returns:
        Paths of the `nn.Conv2d` modules, each once, where it is first called.

    Raises:
        ConfigError: the model cannot be traced, or has no such convolution.
    """
    nodes = list(trace(model, leaves).nodes)
    called = dict.fromkeys(str(node.target) for node in nodes if _is_convolution(model, node))
    before = _sources(nodes, called)
    shortcuts: set[str] = set()
    for node in joining_additions(nodes):
        shortcuts |= _shortcut(model, [before[source] for source in node.all_input_nodes])
    found = tuple(name for name in called if name not in shortcuts)
    if not found:
        raise ConfigError(
            f"{type(model).__name__} calls no Conv2d, so it has no layers whose criticality could "
            "be measured: this is for convolutional networks"
        )
    return found


def _is_convolution(model: nn.Module, node: fx.Node) -> bool:
    return node.op == "call_module" and isinstance(model.get_submodule(str(node.target)), nn.Conv2d)


def _sources(nodes: Sequence[fx.Node], convolutions: Mapping[str, None]) -> _Sources:
    found: dict[fx.Node, Set[str]] = {}
    for node in nodes:
        own = {str(node.target)} & convolutions.keys() if node.op == "call_module" else set()
        found[node] = own.union(*(found[source] for source in node.all_input_nodes))
    return found


def _shortcut(model: nn.Module, branches: Sequence[Set[str]]) -> Set[str]:
    """The convolutions of the shorter of two branches; none where there is no shorter one."""
    if len(branches) != 2:
        return frozenset()
    first, second = branches[0] - branches[1], branches[1] - branches[0]
    sizes = [(len(branch), _taps(model, branch)) for branch in (first, second)]
    if sizes[0] == sizes[1]:
        return frozenset()
    return first if sizes[0] < sizes[1] else second


def _taps(model: nn.Module, branch: Set[str]) -> int:
    kernels = [model.get_submodule(name).kernel_size for name in branch]
    return sum(math.prod(kernel) for kernel in kernels if isinstance(kernel, tuple))
