"""Layers in a compute format: convolutions packed for the processor, layers in bfloat16.

A convolution on a CPU reads its weights in an order of its own. torch puts them into that order at
every call, which for one image takes longer than the arithmetic; a packed one has them in it
already (oneDNN's, through the operators that torch's own compiler uses).
"""

__all__ = ["Lowered", "PackedConv2d", "can_pack", "convert_layer", "weights_of", "with_own_tensors"]

import torch
from torch import Tensor, nn

from rwsstore.runtime.formats import ComputeFormat
from rwsstore.runtime.sharing import shell


class PackedConv2d(nn.Module):
    """A convolution whose weights lie as oneDNN reads them.

    oneDNN could compute the ReLU behind it in the same step, but its own makes 0 of NaN: weights
    that overflow would no longer be told by their logits.

    Args:
        layer: of which it is made; its tensors are not kept.
        compute: the format.
        shape: of the input that it will mostly get, [B, C, H, W]; others work too.
    """

    packed: Tensor
    bias: Tensor | None
    like: Tensor  # of no values, in the dtype

    def __init__(self, layer: nn.Conv2d, compute: ComputeFormat, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.dtype = compute.dtype
        self.like = torch.empty(0, dtype=compute.dtype)
        # In a padding of words ("same") torch computes the numbers; they are refused before.
        self.padding = [int(side) for side in layer.padding]
        self.stride, self.dilation = list(layer.stride), list(layer.dilation)
        self.groups = layer.groups
        # As oneDNN's tensor first: of torch's own the operator makes a copy in channels_last.
        weight = layer.weight.detach().to(compute.dtype).to_mkldnn()
        self.packed = torch.ops.aten.mkldnn_reorder_conv2d_weight(
            weight, self.padding, self.stride, self.dilation, self.groups, list(shape)
        )
        self.bias = None if layer.bias is None else _own(layer.bias, compute.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve [B, C, H, W]."""
        if x.dtype != self.dtype:  # a call that does nothing lets other threads in all the same
            x = x.to(self.dtype)
        out: Tensor = torch.ops.mkldnn._convolution_pointwise.default(
            x, self.packed, self.bias, self.padding, self.stride, self.dilation,
            self.groups, "none", [], "",
        )  # fmt: skip
        return out


class Lowered(nn.Module):
    """A layer whose tensors are bfloat16, and which takes what it gets to that.

    Args:
        layer: of which it is made; its tensors are not kept.
        dtype: of its tensors.
    """

    def __init__(self, layer: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype, self.like = dtype, torch.empty(0, dtype=dtype)
        self.layer = with_own_tensors(layer, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer."""
        out: Tensor = self.layer(x.to(self.dtype))
        return out


def can_pack(layer: nn.Module) -> bool:
    """Whether a layer's weights can be packed here."""
    return (
        type(layer) is nn.Conv2d
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
        and layer.weight.device.type == "cpu"
        and layer.weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # it has no types
    )


def convert_layer(
    layer: nn.Module, compute: ComputeFormat, shape: tuple[int, ...] | None
) -> nn.Module:
    """Put a convolution or linear layer into a compute format.

    Args:
        layer: in float32; its tensors are not kept.
        compute: the format.
        shape: of the input of a convolution that is to be packed, else None.
    """
    if shape is not None:
        assert isinstance(layer, nn.Conv2d)  # noqa: S101  (no other layer is packed)
        return PackedConv2d(layer, compute, shape)
    if compute.dtype == torch.float32:
        return with_own_tensors(layer)
    return Lowered(layer, compute.dtype)


def with_own_tensors(layer: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A module like another one with copies of its own parameters, not of its children's."""
    parameters = {
        name: None if tensor is None else nn.Parameter(_own(tensor, dtype), requires_grad=False)
        for name, tensor in layer._parameters.items()
    }
    return shell(layer, dict(layer._modules), parameters)


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """The parameters of one converted module by name, in the format's dtype."""
    if isinstance(module, PackedConv2d):
        bias = {} if module.bias is None else {"bias": module.bias}
        return {"weight": module.packed.to_dense(), **bias}
    if isinstance(module, Lowered):
        return weights_of(module.layer)
    return dict(module.named_parameters(recurse=False))


def _own(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A copy: a view would keep the whole buffer of its head alive."""
    return tensor.detach().to(dtype, copy=True)
