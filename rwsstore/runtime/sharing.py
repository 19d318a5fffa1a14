"""A second module over the same tensors, but for those that a patch touches."""

__all__ = ["with_tensors"]

from collections.abc import Mapping

from torch import Tensor, nn


def with_tensors(model: nn.Module, replacements: Mapping[str, Tensor]) -> nn.Module:
    """Make a module that computes with other tensors and shares all the rest.

    Only the modules on the way to a replaced tensor are copied, and only their Python objects.
    Neither module sees the other's later changes of structure; a tensor that several places of
    the network share stays shared.

    Args:
        model: left as it is.
        replacements: new tensors by the name of the parameter that they stand in for.

    Raises:
        KeyError: the model has no parameter of such a name.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    new = {
        id(parameters[name]): nn.Parameter(tensor, requires_grad=False)
        for name, tensor in replacements.items()
    }
    return _copy_touched(model, new, {})


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
