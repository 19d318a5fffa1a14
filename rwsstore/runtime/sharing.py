"""A second module over the same tensors, but for those that a patch touches."""

__all__ = ["with_tensors"]

import copy
from collections.abc import Iterable, Mapping
from functools import partial
from types import MethodType

import torch
from torch import Tensor, nn

from rwsstore.errors import TensorError

_OWN_ATTRIBUTES = frozenset(vars(nn.Module()))


def with_tensors(model: nn.Module, replacements: Mapping[str, Tensor]) -> nn.Module:
    """Make a module that computes with other tensors and shares all the rest.

    Only the modules on the way to a replaced tensor are copied, and only their Python objects.
    Neither module sees the other's later changes of structure; a tensor that several places of
    the network share stays shared. Where a module reaches others by plain attributes (a list of
    them, a bound method), all modules are copied, so that none computes with the old tensors.

    Args:
        model: left as it is.
        replacements: new tensors by the name of the parameter that they stand in for.

    Raises:
        KeyError: the model has no parameter of such a name.
        TensorError: two names of one shared tensor are given different numbers.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    new: dict[int, nn.Parameter] = {}
    for name, tensor in replacements.items():
        tied = new.setdefault(id(parameters[name]), nn.Parameter(tensor, requires_grad=False))
        if tied.data_ptr() != tensor.data_ptr() and not torch.equal(tied, tensor):
            raise TensorError(
                f"{name!r} shares its numbers with another tensor, which is given different ones"
            )
    if any(_reaches_others(module) for module in model.modules()):
        return _copy_all(model, new)
    return _copy_touched(model, new, {})


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


def _copy_touched(
    module: nn.Module, new: Mapping[int, nn.Parameter], done: dict[int, nn.Module]
) -> nn.Module:
    if id(module) in done:
        return done[id(module)]
    children = {
        name: None if child is None else _copy_touched(child, new, done)
        for name, child in module._modules.items()
    }
    parameters = {
        name: None if parameter is None else new.get(id(parameter), parameter)
        for name, parameter in module._parameters.items()
    }
    same = all(children[name] is child for name, child in module._modules.items()) and all(
        parameters[name] is parameter for name, parameter in module._parameters.items()
    )
    result = module if same else _shell(module, children, parameters)
    done[id(module)] = result
    return result


def _shell(
    module: nn.Module,
    children: dict[str, nn.Module | None],
    parameters: dict[str, nn.Parameter | None],
) -> nn.Module:
    # object.__new__ rather than the class: a GraphModule's __new__ makes a class of its own.
    copy: nn.Module = object.__new__(type(module))
    copy.__dict__.update(module.__dict__)
    copy.__dict__["_modules"] = children
    copy.__dict__["_parameters"] = parameters
    copy.__dict__["_buffers"] = dict(module._buffers)
    return copy
