"""A network in two: a head that reads patched tensors, and a trunk that all variants share."""

__all__ = ["Split", "split_after"]

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from rwsstore.errors import ConfigError
from rwsstore.models.tracing import trace

_Run = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Split:
    """The forward pass of a network, cut after the last operation that reads a patched tensor.

    Both halves are plain functions of a module and its inputs, so that one split serves every
    module of the same structure, whatever its tensors.

    Attributes:
        operations: of the head, and of the trunk.
    """

    operations: tuple[int, int]
    _head: _Run
    _trunk: _Run

    def head(self, module: nn.Module, images: Tensor) -> tuple[Tensor, ...]:
        """Run a variant up to the cut.

        Args:
            module: the clean model, or a variant of it.
            images: [B, 3, H, W].

        Returns:
            What the trunk needs; the first axis of each is the batch.
        """
        found: tuple[Tensor, ...] = self._head(module, images)
        return found

    def trunk(self, module: nn.Module, crossing: Iterable[Tensor]) -> Tensor:
        """Run the rest.

        Args:
            module: the clean model, or any variant whose patches lie in the head.
            crossing: what `head` gave; batches may be joined along the first axis.

        Returns:
            Logits [B, C].
        """
        logits: Tensor = self._trunk(module, *crossing)
        return logits


def split_after(model: nn.Module, tensors: Collection[str], images: Tensor) -> Split | None:
    """Cut a network after the last operation of its forward pass that reads one of some tensors.

    The two halves give the same bits as the whole for the same batch: they are the same
    operations.

    Args:
        model: in evaluation mode; left as it is.
        tensors: names of parameters and buffers, as in its state.
        images: float or uint8 [B, 3, H, W], B at least 2: the halves are tried on them.

    Returns:
        The split; None where the network cannot be cut there: it cannot be traced, nothing is left
        for the trunk, or what crosses the cut is not one tensor row for each image.

    Raises:
        Exception: whatever the model itself raises on these images.
    """
    try:
        graph = trace(model)
    except ConfigError:
        return None
    nodes = list(graph.nodes)
    place = _cut(model, nodes, tensors)
    if place + 1 >= len(nodes) - 1:  # only the output is left
        return None
    crossing = _crossing(nodes, place)
    head, trunk = _head_graph(nodes, place, crossing), _trunk_graph(nodes, place, crossing)
    split = Split((place + 1, len(nodes) - place - 2), _function(head), _function(trunk))
    return split if _works(split, model, images) else None


def _cut(model: nn.Module, nodes: list[fx.Node], tensors: Collection[str]) -> int:
    """Place of the last operation that reads one of the tensors; of the input where none does."""
    wanted = {id(tensor) for name, tensor in _named(model) if name in tensors}
    readers = {
        reader
        for node in nodes
        if wanted & {id(tensor) for tensor in _read(model, node)}
        # A tensor that is fetched is read where it is used.
        for reader in (node.users if node.op == "get_attr" else (node,))
    }
    return max(
        place for place, node in enumerate(nodes) if node.op == "placeholder" or node in readers
    )


def _named(model: nn.Module) -> list[tuple[str, Tensor]]:
    return [
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ]


def _read(model: nn.Module, node: fx.Node) -> list[Tensor]:
    if node.op == "call_module":
        return [tensor for _, tensor in _named(model.get_submodule(str(node.target)))]
    if node.op == "get_attr":
        owner, _, name = str(node.target).rpartition(".")
        value = getattr(model.get_submodule(owner), name, None)
        return [value] if isinstance(value, Tensor) else []
    return []


def _crossing(nodes: list[fx.Node], place: int) -> list[fx.Node]:
    """What is computed up to the cut and used behind it, in the order of the forward pass.

    Tensors of the model that are fetched before the cut are fetched again behind it.
    """
    before, behind = nodes[: place + 1], set(nodes[place + 1 :])
    return [node for node in before if node.op != "get_attr" and not behind.isdisjoint(node.users)]


def _head_graph(nodes: list[fx.Node], place: int, crossing: list[fx.Node]) -> fx.Graph:
    graph, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    for node in nodes[: place + 1]:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(tuple(copies[node] for node in crossing))
    return graph


def _trunk_graph(nodes: list[fx.Node], place: int, crossing: list[fx.Node]) -> fx.Graph:
    graph = fx.Graph()
    copies = {node: graph.placeholder(f"crossing_{n}") for n, node in enumerate(crossing)}
    behind = nodes[place + 1 :]
    fetched = [node for node in nodes[: place + 1] if node.op == "get_attr"]
    again = [node for node in fetched if not node.users.keys().isdisjoint(behind)]
    for node in (*again, *behind):
        copies[node] = graph.node_copy(node, copies.__getitem__)
    return graph


def _function(graph: fx.Graph) -> _Run:
    """The graph as a function whose first argument is the module that it is run on."""
    code = graph.python_code(root_module="self")
    names: dict[str, Any] = dict(code.globals)
    exec(code.src, names)  # noqa: S102  (torch.fx wrote it, of a graph of ours)
    run: _Run = names["forward"]
    return run


@torch.inference_mode()
def _works(split: Split, model: nn.Module, images: Tensor) -> bool:
    """Whether the halves make the whole, and batches can be joined at the cut."""
    whole = model(images)  # what fails here fails without a cut as well
    try:
        crossing = split.head(model, images)
        if not all(isinstance(value, Tensor) and len(value) == len(images) for value in crossing):
            return False
        return torch.equal(split.trunk(model, crossing), whole)
    except Exception:  # a user's forward may raise anything; it is then not cut
        return False
