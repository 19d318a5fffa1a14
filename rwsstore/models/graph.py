"""The one place that knows what a layer is, and in which order the forward pass meets it."""

import copy
import threading
from collections.abc import Callable, Iterable
from typing import Any

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from rwsstore.errors import ConfigError
from rwsstore.models.classifier import Normalize

# torch has no public name for "any convolution" and "any BatchNorm".


_TRACING = threading.Lock()
"""Held while a network is traced: torch could not undo what two tracers do at once."""


def is_layer(module: nn.Module) -> bool:
    """Tell whether a module is a convolution, transposed or not, or a linear layer."""
    return isinstance(module, (_ConvNd, nn.Linear))


def is_plain_call(node: fx.Node) -> bool:
    """Tell whether an operation is the call of a module with one tensor and nothing else."""
    alone = len(node.args) == 1 and isinstance(node.args[0], fx.Node) and not node.kwargs
    return node.op == "call_module" and alone


def copy_structure(model: nn.Module) -> nn.Module:
    """Copy the modules of a model but share its tensors, so that the copy costs no memory."""
    tensors = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


def trace(model: nn.Module, leaves: Iterable[type[nn.Module]] = ()) -> fx.Graph:
    """Trace a model's forward pass in evaluation mode; the model itself is not touched.

    Other threads may use it and other models meanwhile, and trace them: one after the other.

    Args:
        model: any module whose forward pass does not branch on the values of tensors.
        leaves: classes of modules that are taken as one piece and not looked into.

    Raises:
        ConfigError: the model cannot be traced.
    """
    skeleton = copy_structure(model).eval()  # tracing leaves attributes on what it traces
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
        self._leaves = (_ConvNd, nn.Linear, _BatchNorm, Normalize, *leaves)
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
