"""BatchNorm folded into the layer before it, so that a patch is weights and biases alone."""

import copy
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TypeVar, cast

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvTransposeNd
from torch.nn.utils.fusion import fuse_conv_bn_weights

from rwsstore.models.classifier import Classifier
from rwsstore.models.graph import Graph, is_batchnorm

_Model = TypeVar("_Model", bound=nn.Module)
_Leaves = Iterable[type[nn.Module]]


def fold_batchnorm(model: _Model, *, leaves: _Leaves = ()) -> _Model:
    """Fold every BatchNorm that follows a convolution or linear layer into that layer.

    The result computes what the model computes in evaluation mode, keeps its tree of attributes
    (a folded BatchNorm becomes an Identity), and is in evaluation mode. A BatchNorm stays where
    nothing foldable comes before it, where the layer's output is also used elsewhere, or where
    one of the two is called more than once; see `unfoldable_batchnorms` and `freeze_batchnorm`.
    A linear layer before a BatchNorm is taken to work on [B, F].

    The sums are done in float64 and rounded once (Jacob et al., 2018, section 3.2).

    Args:
        model: any traceable module; it is left as it is, and shares no tensor with the result. A
            `Classifier` comes back with `spec.folded` set.
        leaves: classes of modules not to look into.

    Raises:
        ConfigError: the model cannot be traced.
    """
    pairs = list(_foldable(Graph(model, leaves)))
    folded = copy.deepcopy(model).eval()
    for layer_name, norm_name in pairs:
        norm = cast(_BatchNorm, folded.get_submodule(norm_name))
        _fold_into(folded.get_submodule(layer_name), norm)
        for parent in folded.modules():
            for name, child in list(parent.named_children()):
                if child is norm:
                    setattr(parent, name, nn.Identity().eval())
    if isinstance(folded, Classifier):
        folded.spec = folded.spec.model_copy(update={"folded": True})
    return folded


def unfoldable_batchnorms(model: nn.Module, *, leaves: _Leaves = ()) -> tuple[str, ...]:
    """Name the BatchNorm modules that `fold_batchnorm` would leave, in the order of the modules.

    Raises:
        ConfigError: the model cannot be traced.
    """
    folded = {norm for _, norm in _foldable(Graph(model, leaves))}
    norms = (name for name, module in model.named_modules() if is_batchnorm(module))
    return tuple(name for name in norms if name not in folded)


def freeze_batchnorm(model: nn.Module) -> None:
    """Put every BatchNorm of a model into evaluation mode, for training after folding.

    `model.train()` undoes it, so call this after that. The affine terms still train; the running
    statistics stay.
    """
    for module in model.modules():
        if is_batchnorm(module):
            module.eval()


def _foldable(graph: Graph) -> Iterator[tuple[str, str]]:
    """Yield the names of each (layer, BatchNorm) that may be folded."""
    calls = Counter(node.target for node in graph.modules)
    # The parameters that two modules own, or that the forward pass reads by itself.
    owners = Counter(id(p) for module in graph.model.modules() for p in module._parameters.values())
    fetched = (node for node in graph.nodes if node.op == "get_attr")
    shared = {id(tensor) for node in fetched for tensor in graph.tensors(node)}
    shared |= {parameter for parameter, count in owners.items() if count > 1}
    for node in graph.modules:
        before = node.args[0] if node.args else None
        if not isinstance(before, fx.Node) or before not in graph.modules:
            continue
        if len(before.users) > 1 or calls[node.target] > 1 or calls[before.target] > 1:
            continue
        own = map(id, graph.modules[before].parameters())
        if shared.isdisjoint(own) and _fit(graph, before, node):
            yield str(before.target), str(node.target)


def _fit(graph: Graph, before: fx.Node, node: fx.Node) -> bool:
    layer, norm, row = graph.modules[before], graph.modules[node], graph.operation(before)
    if row is None or graph.operation(node) is None or not is_batchnorm(norm):
        return False
    if norm.running_mean is None or norm.running_var is None:
        return False  # normalizes by its batch, in evaluation mode too
    if isinstance(layer, _ConvTransposeNd) and layer.groups > 1:
        return False  # the weight's second dimension is only a part of the output channels
    return row.outputs != "" and getattr(layer, row.outputs) == norm.num_features


def _fold_into(layer: nn.Module, norm: _BatchNorm) -> None:
    old = layer.get_parameter("weight")
    if old.is_meta:  # shapes alone; arithmetic there would import half of torch's compiler
        layer.bias = nn.Parameter(old.new_empty(norm.num_features), requires_grad=old.requires_grad)
        return
    tensors = {name: _exact(t) for name, t in norm.state_dict().items()}
    weight, bias = fuse_conv_bn_weights(
        _exact(layer.get_parameter("weight")),
        None if layer.bias is None else _exact(layer.get_parameter("bias")),
        tensors["running_mean"],
        tensors["running_var"],
        norm.eps,
        tensors.get("weight"),
        tensors.get("bias"),
        transpose=isinstance(layer, _ConvTransposeNd),
    )
    layer.weight = nn.Parameter(weight.detach().to(old), requires_grad=old.requires_grad)
    layer.bias = nn.Parameter(bias.detach().to(old), requires_grad=old.requires_grad)


def _exact(tensor: Tensor) -> Tensor:
    # Not every accelerator has float64, and the CPU's bits are the same everywhere.
    return tensor.detach().to("cpu", torch.float64)
