"""A network in three: what comes before any patch, the head that patches change, the trunk.

Only the head differs between variants, so that a batch of different ones runs the rest together.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from rwsstore.models.graph import Graph, is_plain_call
from rwsstore.runtime.programs import apply_each, program_of

_Run = Callable[..., Any]
_Nodes = Sequence[fx.Node]


@dataclass(frozen=True, eq=False)
class Split:
    """The forward pass of a network, cut around the operations that read patched tensors.

    All parts are plain functions of a module and its inputs, so that one split serves every module
    of the same structure, whatever its tensors. What goes from part to part has one row for each
    image.

    Attributes:
        operations: how many are in the root, the head, and the trunk.
        layers: names of the modules that read patched tensors, where these are all that reads
            them and each is called with one tensor; else None.
        root: what comes before the first operation that reads a patched tensor: of a module (the
            clean model, or any variant whose patches lie in the head) and images [B, 3, H, W].
            Gives what the head needs.
        head: from there to behind the last such operation: of a variant, and what `root` gave,
            or some rows of each. Gives what the trunk needs.
        mixed_head: several variants' heads in one pass, apart in patched layers, together
            elsewhere: of any module, for each of `layers` those of the variants and how many rows
            each takes, and what `root` gave. None where there are no `layers`.
        trunk: the rest: of a module as for `root`, and what `head` gave; batches may be joined
            along the first axis. Gives logits [B, C].
    """

    operations: tuple[int, int, int]
    layers: tuple[str, ...] | None
    root: Callable[[nn.Module, Tensor], tuple[Tensor, ...]]
    head: Callable[..., tuple[Tensor, ...]]
    mixed_head: Callable[..., tuple[Tensor, ...]] | None
    trunk: Callable[..., Tensor]

    def whole(self, module: nn.Module, images: Tensor) -> Tensor:
        """Run all three, one behind the other."""
        return self.trunk(module, *self.head(module, *self.root(module, images)))


def cut(
    graph: Graph, tensors: Collection[str], compiled_for: nn.Module | None = None
) -> Split | None:
    """Cut a network around the operations that read one of some tensors.

    Args:
        graph: of the network.
        tensors: names of parameters and buffers, as in the model's state. With none of them
            the head does nothing, and the trunk begins with the first layer.
        compiled_for: a module of the structure that the parts will be run on; they are then
            compiled where that can be done. Without it they are functions in Python.

    Returns:
        The split; None where nothing is left for the trunk.
    """
    nodes = graph.nodes
    readers = _readers(graph, tensors)
    first_input = max(place for place, node in enumerate(nodes) if node.op == "placeholder")
    behind = first_input + 1
    if not tensors:  # up to the first operation that reads a parameter
        own = [name for name, _ in graph.model.named_parameters()]
        behind = min(_readers(graph, own), default=behind)
    end = max([behind, *(place + 1 for place in readers)])
    start = min([end, *readers])
    if end >= len(nodes) - 1:  # only the output is left
        return None
    parts = nodes[:start], nodes[start:end], nodes[end:]
    calls = [nodes[place] for place in readers]
    layers = None
    if calls and all(map(is_plain_call, calls)):
        layers = tuple(dict.fromkeys(str(node.target) for node in calls))
    entering = _needed(parts[0], [*parts[1], *parts[2]])
    crossing = _needed([*parts[0], *parts[1]], parts[2])

    def run(own: _Nodes, given: _Nodes, wanted: _Nodes | None, apart: Sequence[str] = ()) -> _Run:
        part = _part(own, given, wanted, nodes, apart)
        program = None if compiled_for is None else program_of(part, compiled_for, apart)
        return program or _function(part)

    return Split(
        (len(parts[0]), len(parts[1]), len(parts[2]) - 1),
        layers,
        run(parts[0], [], entering),
        run(parts[1], entering, crossing),
        None if layers is None else run(parts[1], entering, crossing, layers),
        run(parts[2], crossing, None),
    )


def _readers(graph: Graph, tensors: Collection[str]) -> list[int]:
    """Places of the operations that read one of the tensors."""
    readers = {
        reader
        for node in graph.readers(tensors)
        # A tensor that is fetched is read where it is used; each part fetches its own.
        for reader in (node.users if node.op == "get_attr" else (node,))
    }
    return [place for place, node in enumerate(graph.nodes) if node in readers]


@torch.inference_mode()
def works(split: Split, model: nn.Module, images: Tensor) -> bool:
    """Whether the parts make the whole to the bit, and batches can be joined at the cuts.

    Raises:
        Exception: whatever the model itself raises on these images.
    """
    whole = model(images)  # what fails here fails without a cut as well
    try:
        entering = split.root(model, images)
        crossing = split.head(model, *entering)
        for value in (*entering, *crossing):
            if not isinstance(value, Tensor) or value.dim() == 0 or len(value) != len(images):
                return False
        return torch.equal(split.trunk(model, *crossing), whole)
    except Exception:  # a user's forward may raise anything; it is then not cut
        return False


def _needed(before: Sequence[fx.Node], behind: Sequence[fx.Node]) -> list[fx.Node]:
    """What is computed before and used behind, in the order of the forward pass.

    Tensors of the model that are fetched before a cut are fetched again behind it.
    """
    users = set(behind)
    return [node for node in before if node.op != "get_attr" and not users.isdisjoint(node.users)]


def _part(
    own: Sequence[fx.Node],
    given: Sequence[fx.Node],
    wanted: Sequence[fx.Node] | None,
    nodes: Sequence[fx.Node],
    layers: Sequence[str] = (),
) -> fx.Graph:
    """A graph of some operations of a network: from what they are given to what is wanted.

    Args:
        own: the operations.
        given: computed before them.
        wanted: None for what the output among them gives.
        nodes: all of the network.
        layers: names of modules whose place is taken by the `Parts` that come as the first inputs.
    """
    graph = fx.Graph()
    apart = {name: graph.placeholder(f"layer_{n}") for n, name in enumerate(layers)}
    copies = {node: graph.placeholder(f"given_{n}") for n, node in enumerate(given)}
    used = set(own)
    again = [
        node
        for node in nodes
        if node.op == "get_attr" and node not in used and not used.isdisjoint(node.users)
    ]
    for node in (*again, *own):
        if node.op == "call_module" and node.target in apart:
            x = copies[cast("fx.Node", node.args[0])]
            copies[node] = graph.call_function(apply_each, (apart[str(node.target)], x))
        else:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    if wanted is not None:
        graph.output(tuple(copies[node] for node in wanted))
    return graph


def _function(graph: fx.Graph) -> _Run:
    """The graph as a function whose first argument is the module that it is run on."""
    code = graph.python_code(root_module="self")
    names: dict[str, Any] = dict(code.globals)
    exec(code.src, names)  # noqa: S102  (torch.fx wrote it, of a graph of ours)
    run: _Run = names["forward"]
    return run
