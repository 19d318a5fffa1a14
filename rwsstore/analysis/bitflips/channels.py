"""Layers and what lies between them, computed for a single channel."""

__all__ = [
    "Passing",
    "Plain",
    "channel_axis",
    "input_channel",
    "is_plain",
    "output_channel",
    "passing",
]

import operator
from collections.abc import Callable
from typing import Any, TypeGuard

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

Plain = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear
"""A convolution with zeros around its input, or a linear layer; no subclass, no hooks."""

# Exactly these types: a subclass may compute something else.
_CONVOLUTIONS: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.Conv1d: F.conv1d,
    nn.Conv2d: F.conv2d,
    nn.Conv3d: F.conv3d,
}
_ELEMENTWISE = frozenset(
    {
        nn.Dropout, nn.Dropout2d, nn.ELU, nn.GELU, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh,
        nn.Identity, nn.LeakyReLU, nn.Mish, nn.ReLU, nn.ReLU6, nn.SELU, nn.SiLU, nn.Sigmoid,
        nn.Softplus, nn.Tanh,
    }
)  # fmt: skip
_POOLS = frozenset({nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.AvgPool2d, nn.MaxPool2d})
_NORMS = frozenset({nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d})
_ADDITIONS = frozenset({operator.add, operator.iadd, torch.add})
_FUNCTIONS = frozenset(
    {
        F.elu,
        F.gelu,
        F.hardswish,
        F.leaky_relu,
        F.relu,
        F.relu6,
        F.silu,
        torch.relu,
        torch.sigmoid,
        torch.tanh,
    }
)

Passing = Callable[[Tensor, int, int, Callable[[fx.Node], Tensor]], Tensor]
"""(the channel's values, axis, channel, values of another step) to the channel's next values.

What it is given is not modified, whatever works in place."""


def is_plain(module: nn.Module | None) -> TypeGuard[Plain]:
    """Whether single channels of a layer can be computed here."""
    if module is None or module._forward_hooks or module._forward_pre_hooks:
        return False
    if type(module) in _CONVOLUTIONS:
        return module.padding_mode == "zeros"
    return type(module) is nn.Linear


def channel_axis(module: Plain) -> int:
    """Where channels lie in a layer's input and output."""
    return -1 if isinstance(module, nn.Linear) else 1


def output_channel(module: Plain, source: Tensor, channel: int) -> Tensor:
    """Compute one channel of a layer's output: [B, C, ...] to [B, 1, ...], as the layer does."""
    row = slice(channel, channel + 1)
    bias = None if module.bias is None else module.bias[row]
    if isinstance(module, nn.Linear):
        return F.linear(source, module.weight[row], bias)
    size = module.in_channels // module.groups
    group = channel // (module.out_channels // module.groups)
    part = source.narrow(1, group * size, size)
    convolve = _CONVOLUTIONS[type(module)]
    return convolve(part, module.weight[row], bias, module.stride, module.padding, module.dilation)


def input_channel(module: Plain, difference: Tensor, channel: int) -> Tensor:
    """What a difference in one channel of its input adds to a layer's output; no groups.

    A layer is linear, so that W·(x + d) = W·x + W·d: [B, 1, ...] to [B, C′, ...].
    """
    column = module.weight.narrow(1, channel, 1)
    if isinstance(module, nn.Linear):
        return F.linear(difference, column)
    convolve = _CONVOLUTIONS[type(module)]
    return convolve(difference, column, None, module.stride, module.padding, module.dilation)


def passing(node: fx.Node, module: nn.Module | None, source: fx.Node, axis: int) -> Passing | None:
    """How a step that mixes no channels takes one of them on; None for any other step.

    Args:
        node: a step of a traced model.
        module: that it calls, if it calls one.
        source: the one of its inputs of which a single channel changed.
        axis: of the channels in it.
    """
    if module is not None:
        return None if module._forward_hooks or module._forward_pre_hooks else _module(module, axis)
    if node.target in _ADDITIONS or (node.op == "call_method" and node.target in ("add", "add_")):
        return _addition(node, source)
    if node.op == "call_method" and node.target in ("relu", "sigmoid", "tanh"):
        return lambda one, _axis, _channel, _other: getattr(one, str(node.target))()
    if node.op == "call_function" and node.target in _FUNCTIONS:
        function: Any = node.target
        more = node.args[1:], node.kwargs
        return lambda one, _axis, _channel, _other: function(one.clone(), *more[0], **more[1])
    return None


def _module(module: nn.Module, axis: int) -> Passing | None:
    if type(module) in _ELEMENTWISE or (type(module) in _POOLS and axis == 1):
        return lambda one, _axis, _channel, _other: module(one.clone())
    if type(module) in _NORMS and axis == 1:
        return lambda one, _axis, channel, _other: _normalized(module, one, channel)
    return None


def _normalized(norm: Any, one: Tensor, channel: int) -> Tensor:
    row = slice(channel, channel + 1)
    weight = None if norm.weight is None else norm.weight[row]
    bias = None if norm.bias is None else norm.bias[row]
    mean, var = norm.running_mean[row], norm.running_var[row]
    return F.batch_norm(one, mean, var, weight, bias, training=False, eps=norm.eps)


def _addition(node: fx.Node, source: fx.Node) -> Passing | None:
    """An addition of two activations, such as a shortcut's, of which one has not changed."""
    if node.kwargs or len(node.args) != 2 or len(node.all_input_nodes) != 2:
        return None
    first, second = node.all_input_nodes
    fixed = second if source is first else first
    return lambda one, axis, channel, other: one + other(fixed).narrow(axis, channel, 1)
