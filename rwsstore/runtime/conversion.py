"""A model and its variants in a compute format: layers packed and replaced, tensors shared.

A convolution on a CPU reads its weights in an order of its own. torch puts them into that order at
every call, which for one image takes longer than the arithmetic; a packed one has them in it
already (oneDNN's, through the operators that torch's own compiler uses).
"""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from rwsstore.models.graph import is_convolution, is_layer, operation_of_module
from rwsstore.runtime.formats import ComputeFormat
from rwsstore.runtime.variant import shell


class PrepackedConv2d(nn.Module):
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
    """A layer with copies of another's tensors in bfloat16, which takes what it gets to that."""

    def __init__(self, layer: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype, self.like = dtype, torch.empty(0, dtype=dtype)
        self.layer = with_own_tensors(layer, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer."""
        out: Tensor = self.layer(x.to(self.dtype))
        return out


def has_plain_padding(layer: nn.Conv2d) -> bool:
    """Whether a convolution puts zeros around its input, as many as it says."""
    return layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def can_prepack(layer: nn.Module) -> bool:
    """Whether a layer's weights can be packed here."""
    return (
        is_convolution(layer)
        and operation_of_module(layer) is not None  # none of its subclasses
        and has_plain_padding(layer)
        and layer.weight.device.type == "cpu"
        and layer.weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # it has no types
    )


def convert_layer(
    layer: nn.Module, compute: ComputeFormat, shape: tuple[int, ...] | None
) -> nn.Module:
    """Put a convolution or linear layer into a compute format; its tensors are not kept.

    Args:
        layer: in float32.
        compute: the format.
        shape: of the input of a convolution that is to be packed, else None.
    """
    if shape is not None:
        assert is_convolution(layer)  # noqa: S101  (no other layer is packed)
        return PrepackedConv2d(layer, compute, shape)
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
    if isinstance(module, PrepackedConv2d):
        bias = {} if module.bias is None else {"bias": module.bias}
        return {"weight": module.packed.to_dense(), **bias}
    if isinstance(module, Lowered):
        return weights_of(module.layer)
    return dict(module.named_parameters(recurse=False))


def _own(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A copy: a view would keep the whole buffer of its head alive."""
    return tensor.detach().to(dtype, copy=True)


class Conversion:
    """Converts the clean model once, and of each variant what it does not share with it.

    Args:
        clean: the clean model; it is left as it is, and kept.
        compute: the format.
        shapes: of the inputs of convolutions, by the convolution's name.

    Attributes:
        root: the clean model in the format.
    """

    def __init__(
        self, clean: nn.Module, compute: ComputeFormat, shapes: Mapping[str, tuple[int, ...]]
    ) -> None:
        self._clean, self._compute = clean, compute
        self._shapes = {
            name: shape
            for name, shape in shapes.items()
            if compute.packed and can_prepack(clean.get_submodule(name))
        }
        self._known: dict[int, nn.Module] = {}
        self.root = self._convert(clean, "", self._known)

    def of(self, variant: nn.Module) -> nn.Module:
        """A variant's float32 module in the format; keeps none of its own tensors."""
        return self.root if variant is self._clean else self._convert(variant, "", {})

    def differences(self, module: nn.Module, wanted: Mapping[str, Tensor]) -> list[str]:
        """Names of tensors of a converted module that are not those wanted, to the bit.

        Args:
            module: the root, or what `of` gave.
            wanted: float32 tensors by name; what the format makes of them is compared.
        """
        modules, different = dict(module.named_modules(remove_duplicate=False)), []
        for name, part in modules.items():
            if isinstance(modules.get(name.rpartition(".")[0]), Lowered):
                continue  # the layer inside is told of as the layer itself
            for own, tensor in weights_of(part).items():
                path = _join(name, own)
                if path in wanted and not _same(tensor, wanted[path]):
                    different.append(path)
        return different

    def shares(self, module: nn.Module, patched: Collection[str]) -> bool:
        """Whether what `of` gave computes with the root's own layers wherever no patch is."""
        named = dict(self._clean.named_parameters(remove_duplicate=False))
        touched = {id(named[name]) for name in patched}
        return all(
            module.get_submodule(name) is self.root.get_submodule(name)
            for name, part in self._clean.named_modules(remove_duplicate=False)
            if touched.isdisjoint(map(id, part.parameters()))
        )

    def _convert(self, module: nn.Module, name: str, done: dict[int, nn.Module]) -> nn.Module:
        known = self._known.get(id(module), done.get(id(module)))
        if known is not None:
            return known
        made, of_clean = module, done is self._known
        if is_layer(module):
            shape = self._shapes.get(name)
            if not of_clean or shape is not None or self._compute.dtype != torch.float32:
                made = convert_layer(module, self._compute, shape)
            done[id(module)] = made
            return made
        children = {
            child: None if part is None else self._convert(part, _join(name, child), done)
            for child, part in module._modules.items()
        }
        made = module if of_clean else with_own_tensors(module)
        if any(children[child] is not part for child, part in module._modules.items()):
            made = shell(made, children, dict(made._parameters))
        done[id(module)] = made
        return made


def _join(name: str, child: str) -> str:
    return f"{name}.{child}" if name else child


def _same(tensor: Tensor, wanted: Tensor) -> bool:
    expected = wanted.to(tensor.dtype)
    whole = torch.int16 if tensor.element_size() == 2 else torch.int32
    return torch.equal(tensor.contiguous().view(whole), expected.contiguous().view(whole))
