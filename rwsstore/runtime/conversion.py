"""A model and its variants in a compute format: layers replaced, everything else shared."""

__all__ = ["Conversion"]

from collections.abc import Collection, Iterator, Mapping

import torch
from torch import Tensor, nn

from rwsstore.models.tracing import is_layer
from rwsstore.runtime.formats import ComputeFormat
from rwsstore.runtime.packing import (
    Lowered,
    can_pack,
    convert_layer,
    weights_of,
    with_own_tensors,
)
from rwsstore.runtime.sharing import shell

Shape = tuple[int, ...]


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
        self,
        clean: nn.Module,
        compute: ComputeFormat,
        shapes: Mapping[str, Shape],
    ) -> None:
        self._clean, self._compute = clean, compute
        self._shapes = {
            name: shape
            for name, shape in shapes.items()
            if compute.packed and can_pack(clean.get_submodule(name))
        }
        self._known: dict[int, nn.Module] = {}
        self.root = self._convert(clean, "", self._known)

    def of(self, variant: nn.Module) -> nn.Module:
        """A variant's float32 module in the format; keeps none of its own tensors.

        Args:
            variant: shares every module without patched tensors with the clean model.
        """
        if variant is self._clean:
            return self.root
        return self._convert(variant, "", {})

    def differences(self, module: nn.Module, wanted: Mapping[str, Tensor]) -> list[str]:
        """Names of tensors of a converted module that are not those wanted, to the bit.

        Args:
            module: the root, or what `of` gave.
            wanted: float32 tensors by name; what the format makes of them is compared.
        """
        return [
            name
            for name, tensor in _tensors_of(module)
            if name in wanted and not _same(tensor, wanted[name])
        ]

    def shares(self, module: nn.Module, patched: Collection[str]) -> bool:
        """Whether a converted variant computes with the root's own layers wherever it may.

        Args:
            module: what `of` gave.
            patched: names of the tensors that its patches touch.
        """
        named = dict(self._clean.named_parameters(remove_duplicate=False))
        touched = {id(named[name]) for name in patched}
        return all(
            module.get_submodule(name) is self.root.get_submodule(name)
            for name, part in self._clean.named_modules(remove_duplicate=False)
            if touched.isdisjoint(map(id, part.parameters()))
        )

    def _convert(self, module: nn.Module, name: str, done: dict[int, nn.Module]) -> nn.Module:
        known = self._known.get(id(module), done.get(id(module)))
        if known is None:
            known = done[id(module)] = self._converted(module, name, done)
        return known

    def _converted(self, module: nn.Module, name: str, done: dict[int, nn.Module]) -> nn.Module:
        of_clean = done is self._known
        if is_layer(module):
            shape = self._shapes.get(name)
            if of_clean and shape is None and self._compute.dtype == torch.float32:
                return module
            return convert_layer(module, self._compute, shape)
        children = {
            child: None if part is None else self._convert(part, _join(name, child), done)
            for child, part in module._modules.items()
        }
        if all(children[child] is part for child, part in module._modules.items()):
            return module if of_clean else with_own_tensors(module)
        own = module if of_clean else with_own_tensors(module)
        return shell(own, children, dict(own._parameters))


def _tensors_of(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    modules = dict(module.named_modules(remove_duplicate=False))
    for name, part in modules.items():
        if isinstance(modules.get(name.rpartition(".")[0]), Lowered):
            continue  # the layer inside is told of as the layer itself
        for own, tensor in weights_of(part).items():
            yield _join(name, own), tensor


def _join(name: str, child: str) -> str:
    return f"{name}.{child}" if name else child


def _same(tensor: Tensor, wanted: Tensor) -> bool:
    expected = wanted.to(tensor.dtype)
    whole = torch.int16 if tensor.element_size() == 2 else torch.int32
    return torch.equal(tensor.contiguous().view(whole), expected.contiguous().view(whole))
