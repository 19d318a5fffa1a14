"""A second module over the same tensors, but for those that a patch touches."""

__all__ = ["Sharing", "shell"]

import copy
from collections.abc import Iterable, Mapping
from functools import partial
from types import MethodType

import torch
from torch import Tensor, nn

from rwsstore.errors import TensorError

_OWN_ATTRIBUTES = frozenset(vars(nn.Module()))


class Sharing:
    """Makes modules that compute with other tensors than a model's and share all the rest.

    What can be known of the model is looked up once, so that a patch goes on in the time that its
    arithmetic takes.

    Args:
        model: whose tensors are shared; it is left as it is, and must stay as it is.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._parameters = dict(model.named_parameters(remove_duplicate=False))
        self._ties = len(set(map(id, self._parameters.values()))) < len(self._parameters)
        self._copies_all = any(_reaches_others(module) for module in model.modules())
        self._below = {
            id(module): frozenset(map(id, module.parameters())) for module in model.modules()
        }

    def with_tensors(self, replacements: Mapping[str, Tensor]) -> nn.Module:
        """Make a module that computes with other tensors.

        Only the modules on the way to a replaced tensor are copied, and only their Python
        objects; a tensor that several places of the network share stays shared. Where a module
        reaches others by plain attributes (a list of them, a bound method), all modules are
        copied, so that none computes with the old tensors.

        Args:
            replacements: new tensors by the name of the parameter that they stand in for.

        Raises:
            KeyError: the model has no parameter of such a name.
            TensorError: two names of one shared tensor are given different numbers.
        """
        if self._ties:
            self.check_tied(replacements)
        new = {
            id(self._parameters[name]): nn.Parameter(tensor, requires_grad=False)
            for name, tensor in replacements.items()
        }
        if self._copies_all:
            return _copy_all(self._model, new)
        return self._copy_touched(self._model, new, {})

    @property
    def ties(self) -> bool:
        """Whether two names stand for one tensor."""
        return self._ties

    @property
    def reaches_around(self) -> bool:
        """Whether a module holds others otherwise than as its children."""
        return self._copies_all

    def check_tied(self, replacements: Mapping[str, Tensor]) -> None:
        """Refuse different numbers for two names of one shared tensor.

        Raises:
            KeyError: the model has no parameter of such a name.
            TensorError: there are two such names.
        """
        given: dict[int, Tensor] = {}
        for name, tensor in replacements.items():
            first = given.setdefault(id(self._parameters[name]), tensor)
            if first is not tensor and not torch.equal(first, tensor):
                raise TensorError(
                    f"{name!r} shares its numbers with another tensor, which is given different "
                    "ones"
                )

    def _copy_touched(
        self, module: nn.Module, new: Mapping[int, nn.Parameter], done: dict[int, nn.Module]
    ) -> nn.Module:
        if self._below[id(module)].isdisjoint(new):
            return module
        if id(module) not in done:
            children = {
                name: None if child is None else self._copy_touched(child, new, done)
                for name, child in module._modules.items()
            }
            parameters = {
                name: None if parameter is None else new.get(id(parameter), parameter)
                for name, parameter in module._parameters.items()
            }
            done[id(module)] = shell(module, children, parameters)
        return done[id(module)]


def _reaches_others(module: nn.Module) -> bool:
    """Whether a module holds modules otherwise than as its children."""
    values = (value for name, value in vars(module).items() if name not in _OWN_ATTRIBUTES)
    return any(map(_holds_module, values))


def _holds_module(value: object) -> bool:
    if isinstance(value, MethodType):
        return isinstance(value.__self__, nn.Module)
    if isinstance(value, partial):
        return any(map(_holds_module, (value.func, *value.args, *value.keywords.values())))
    if isinstance(value, Mapping):
        return any(map(_holds_module, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        items: Iterable[object] = value
        return any(map(_holds_module, items))
    return isinstance(value, nn.Module)


def _copy_all(model: nn.Module, new: Mapping[int, nn.Parameter]) -> nn.Module:
    tensors = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): new.get(id(tensor), tensor) for tensor in tensors})


def shell(
    module: nn.Module,
    children: dict[str, nn.Module | None],
    parameters: dict[str, nn.Parameter | None],
) -> nn.Module:
    """A module like another one, with other children and parameters of the same names."""
    # object.__new__ rather than the class: a GraphModule's __new__ makes a class of its own.
    copy: nn.Module = object.__new__(type(module))
    copy.__dict__.update(module.__dict__)
    copy.__dict__["_modules"] = children
    copy.__dict__["_parameters"] = parameters
    copy.__dict__["_buffers"] = dict(module._buffers)
    return copy
