"""The one place that reads a forward pass and knows what an operation or a layer is."""

import copy
import operator
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

# torch has no public name for "any convolution", "any BatchNorm" and "any InstanceNorm".
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm

from rwsstore.errors import ConfigError, RwsError
from rwsstore.models.classifier import Normalize

_Leaves = Iterable[type[nn.Module]]
_Rule = TypeVar("_Rule")


@dataclass(frozen=True, eq=False)
class Operation:
    """A row of the table: what is known of an operation, whatever computes it.

    Who computes with operations has a rule for each word of a row. An operation without a row, and
    one whose row has no word or one without a rule, are unknown to them in the same way.

    Attributes:
        name: for people.
        modules: exactly these compute it, in evaluation mode; a subclass may compute another one.
        functions, methods: that compute it too.
        family: what is of its kind where only parameters count, subclasses too; else the modules.
        component: into which its parameters are sorted.
        layer: whether its family are layers.
        whole: whether its family is traced as one piece, as layers are.
        outputs: where the number of outputs stands, if a BatchNorm behind it can be folded into it.
        interval: how the bounds of its inputs become those of its output.
        channels: how a change of one input channel goes on: into all ("mixed"), into its own by
            itself ("apart"; "planes" for [B, C, H, W] alone) or with the channel's own numbers
            ("norm"), or by addition ("sum").
        text: what it is called in programs.
    """

    name: str
    modules: tuple[type[nn.Module], ...] = ()
    functions: tuple[Callable[..., Any], ...] = ()
    methods: tuple[str, ...] = ()
    family: tuple[type[nn.Module], ...] = ()
    component: str = ""
    layer: bool = False
    whole: bool = False
    outputs: str = ""
    interval: str = ""
    channels: str = ""
    text: str = ""


# fmt: off
OPERATIONS = (
    Operation("convolution", (nn.Conv2d,), component="conv", layer=True,
              outputs="out_channels", interval="weights", channels="mixed", text="conv2d"),
    Operation("convolution of other dimensions", (nn.Conv1d, nn.Conv3d), component="conv",
              layer=True, outputs="out_channels", channels="mixed"),
    Operation("transposed convolution",
              (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), family=(_ConvNd,),
              component="conv", layer=True, outputs="out_channels"),
    Operation("BatchNorm", (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
              family=(_BatchNorm,), component="norm", whole=True,
              interval="batch_norm", channels="norm", text="batch_norm"),
    Operation("other normalization", (_InstanceNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm),
              component="norm"),
    Operation("normalization of images", (Normalize,), whole=True, interval="normalize"),
    Operation("linear", (nn.Linear,), component="linear", layer=True,
              outputs="out_features", interval="weights", channels="mixed", text="linear"),
    Operation("bilinear", (nn.Bilinear,), component="linear"),
    Operation("embedding", (nn.Embedding, nn.EmbeddingBag), component="embedding"),
    Operation("attention", (nn.MultiheadAttention,), component="attention"),
    Operation("ReLU", (nn.ReLU,), (torch.relu, F.relu), ("relu",),
              interval="relu", channels="apart", text="relu"),
    Operation("other activation",
              (nn.ELU, nn.GELU, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU, nn.Mish,
               nn.ReLU6, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Tanh),
              (F.elu, F.gelu, F.hardswish, F.leaky_relu, F.relu6, F.silu, torch.sigmoid,
               torch.tanh),
              ("sigmoid", "tanh"), channels="apart"),
    Operation("identity", (nn.Identity, nn.Dropout, nn.Dropout2d),
              interval="between", channels="apart"),
    Operation("maximum", (nn.MaxPool2d,),
              interval="between", channels="planes", text="max_pool2d"),
    Operation("maximum of parts", (nn.AdaptiveMaxPool2d,), channels="planes"),
    Operation("mean", (nn.AvgPool2d,), channels="planes", text="avg_pool2d"),  # by any divisor
    Operation("mean of parts", (nn.AdaptiveAvgPool2d,),
              interval="between", channels="planes", text="adaptive_avg_pool2d"),
    Operation("flattening", (nn.Flatten,), (torch.flatten,), ("flatten",),
              interval="between", text="flatten"),
    Operation("concatenation", (), (torch.cat,), interval="between", text="cat"),
    Operation("sum", (), (operator.add, torch.add), ("add",),
              interval="sum", channels="sum", text="add"),
    # Its input is another one afterwards: what follows steps one by one does not know it.
    Operation("sum in place", (), (operator.iadd,), ("add_",), channels="sum"),
    # Numbers about a tensor; sums of such join nothing.
    Operation("description", (), (len,), ("size", "dim", "numel", "ndimension")),
)
# fmt: on
"""The table; a module is of the first family that it fits."""

_BY_MODULE = {kind: row for row in OPERATIONS for kind in row.modules}
_BY_FUNCTION: Mapping[object, Operation] = {
    function: row for row in OPERATIONS for function in row.functions
}
_BY_METHOD = {method: row for row in OPERATIONS for method in row.methods}
_DESCRIPTION = _BY_METHOD["size"]
_DESCRIBING_ATTRIBUTES = frozenset({"shape", "ndim", "dtype", "device"})
_FAMILIES = [(row.family or row.modules, row) for row in OPERATIONS]
_LAYERS = tuple(kind for family, row in _FAMILIES if row.layer for kind in family)
_WHOLE = tuple(kind for family, row in _FAMILIES if row.layer or row.whole for kind in family)


class UnknownOperationError(RwsError):
    """An operation that has no row in the table, or none with what is asked for.

    Args:
        what: is computed.
        where: path of the module that computes it; "" where that is the model itself.
    """

    def __init__(self, what: str, where: str = "") -> None:
        place = f" in {where!r}" if where else ""
        super().__init__(f"the operation {what}{place} is not known")


def is_layer(module: nn.Module) -> bool:
    """Tell whether a module is a convolution, transposed or not, or a linear layer."""
    return isinstance(module, _LAYERS)


def is_convolution(module: nn.Module | None) -> TypeGuard[nn.Conv2d]:
    """Tell whether a module is a convolution of images."""
    return isinstance(module, nn.Conv2d)


def is_batchnorm(module: nn.Module | None) -> TypeGuard[_BatchNorm]:
    """Tell whether a module is a BatchNorm of any kind."""
    return isinstance(module, _BatchNorm)


def is_hooked(module: nn.Module) -> bool:
    """Tell whether hooks are called around a module or within it: they may change anything."""
    return any(one._forward_hooks or one._forward_pre_hooks for one in module.modules())


def component_of(module: nn.Module) -> str:
    """The component of a network that a module's own parameters are sorted into; "" for none."""
    return next((row.component for family, row in _FAMILIES if isinstance(module, family)), "")


def operation_of_module(module: nn.Module) -> Operation | None:
    """The row of what a module computes, its hooks apart; None where it is not known."""
    return _BY_MODULE.get(type(module))


def operation_of(node: fx.Node, module: nn.Module | None = None) -> Operation | None:
    """The row of an operation, and of the module that it calls if it calls one; None: unknown."""
    if node.op == "call_module" and module is not None:
        return None if is_hooked(module) else operation_of_module(module)
    if node.op == "call_method":
        return _BY_METHOD.get(str(node.target))
    if node.target is getattr:
        return _DESCRIPTION if node.args[1] in _DESCRIBING_ATTRIBUTES else None
    return _BY_FUNCTION.get(node.target) if node.op == "call_function" else None


def unknown(node: fx.Node, module: nn.Module | None = None) -> UnknownOperationError:
    """What is said of an operation that is not known; arguments as for `operation_of`."""
    if module is not None:
        return UnknownOperationError(type(module).__name__, str(node.target))
    name = getattr(node.target, "__name__", str(node.target))
    return UnknownOperationError(name, next(reversed(enclosing(node)), ""))


def enclosing(node: fx.Node) -> list[str]:
    """List the paths of the modules in whose forward pass a node lies, outermost first."""
    return [path for path, _ in node.meta.get("nn_module_stack", {}).values()]


_TRACING = threading.Lock()
"""Held while a network is traced: torch could not undo what two tracers do at once."""


def is_plain_call(node: fx.Node) -> bool:
    """Tell whether an operation is the call of a module with one tensor and nothing else."""
    alone = len(node.args) == 1 and isinstance(node.args[0], fx.Node) and not node.kwargs
    return node.op == "call_module" and alone


def trace(model: nn.Module, leaves: _Leaves = ()) -> fx.Graph:
    """Trace a model's forward pass in evaluation mode; the model itself is not touched.

    Other threads may use it and other models meanwhile, and trace them: one after the other.

    Args:
        model: any module whose forward pass does not branch on the values of tensors.
        leaves: classes of modules that are taken as one piece and not looked into.

    Raises:
        ConfigError: the model cannot be traced.
    """
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    skeleton = copy.deepcopy(model, shared).eval()  # tracing leaves attributes on what it traces
    try:
        with _TRACING:
            return _Tracer(tuple(leaves)).trace(skeleton)
    except Exception as error:  # a user's forward may raise anything
        raise ConfigError(
            f"{type(model).__name__} cannot be traced ({type(error).__name__}: {error}). "
            "Its forward pass must not branch on the values or shapes of tensors; rewrite that "
            "part, or name the class of the module that does it in `leaves`, so that it is taken "
            "as one piece."
        ) from error


class _Tracer(fx.Tracer):
    """Traces in the thread that made it.

    While a network is traced, torch puts the tracer in the place of `nn.Module`'s own methods, for
    all threads. In the others it does what these do.
    """

    def __init__(self, leaves: tuple[type[nn.Module], ...]) -> None:
        super().__init__()
        self._leaves = (*_WHOLE, *leaves)
        self._thread = threading.get_ident()

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        # A subclass of Conv2d with a forward of its own is still a layer to us.
        return isinstance(m, self._leaves) or super().is_leaf_module(m, module_qualified_name)


class Graph:
    """The operations of a model's forward pass in their order, and what they read.

    Attributes:
        model: in evaluation mode; left as it is.
        nodes: the operations.
        modules: that operations call.

    Raises:
        ConfigError: the model cannot be traced.
    """

    def __init__(self, model: nn.Module, leaves: _Leaves = ()) -> None:
        self.model = model
        self.nodes: list[fx.Node] = list(trace(model, leaves).nodes)
        self.modules = {
            node: model.get_submodule(str(node.target))
            for node in self.nodes
            if node.op == "call_module"
        }

    def operation(self, node: fx.Node) -> Operation | None:
        """The row of an operation; None where it is not known."""
        return operation_of(node, self.modules.get(node))

    def rule(self, node: fx.Node, fact: str, rules: Mapping[str, _Rule]) -> _Rule:
        """The rule for an operation, by the word that its row has for a fact.

        Raises:
            UnknownOperationError: it has no row, or its word no rule.
        """
        word = getattr(self.operation(node), fact, "")
        if word not in rules:
            raise unknown(node, self.modules.get(node))
        return rules[word]

    def tensors(self, node: fx.Node) -> list[Tensor]:
        """The parameters, then the buffers, that an operation reads or fetches."""
        if node in self.modules:
            return [*self.modules[node].parameters(), *self.modules[node].buffers()]
        found = attribute(self.model, str(node.target)) if node.op == "get_attr" else None
        return [found] if isinstance(found, Tensor) else []

    def readers(self, names: Collection[str]) -> tuple[fx.Node, ...]:
        """The operations that read or fetch one of some parameters and buffers."""
        wanted = {id(attribute(self.model, name)) for name in names}
        return tuple(n for n in self.nodes if not wanted.isdisjoint(map(id, self.tensors(n))))

    def leave_out_identities(self) -> None:
        """Leave out what hands on what it gets, as is left of a folded normalization."""
        for node in list(self.nodes):
            row = self.operation(node)
            if row is None or row.name != "identity" or not is_plain_call(node):
                continue
            if not self.modules[node].training:
                node.replace_all_uses_with(node.all_input_nodes[0])
                self.nodes.remove(node)
                node.graph.erase_node(node)


def attribute(model: nn.Module, path: str) -> Any:
    """What a model has at a path of attributes; None where it has nothing."""
    found: Any = model
    for name in path.split("."):
        found = getattr(found, name, None)
    return found
