"""Corruptions of a model's parameters, random and gradient-based, and which parameters they hit.

Sun et al., "Exploring the Vulnerability of Deep Neural Networks: A Study of Parameter Corruption",
AAAI 2021, definitions 1, 3 and 4, equations 4 and 7, algorithms 1 and 2. The corruptions are
float64; w + a is computed in float64 and rounded once, to the parameter's own dtype.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rwsstore.errors import ConfigError, TensorError, UnknownNameError
from rwsstore.models import ordered_layers, scratch_copy
from rwsstore.models.graph import OPERATIONS, component_of


@dataclass(frozen=True)
class Constraint:
    """The set S = {a : ‖a‖_p = ε, at most n entries of a differ from 0}.

    Attributes:
        epsilon: ε, above 0.
        p: of the norm, 1 to infinity (`math.inf`).
        n: how many parameters are corrupted at most; None: all of them.

    Raises:
        ConfigError: one is out of its range.
    """

    epsilon: float
    p: float = 2.0
    n: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.epsilon < math.inf:
            raise ConfigError(f"ε is {self.epsilon}; expected a finite number above 0")
        if not self.p >= 1:
            raise ConfigError(f"p is {self.p}; expected 1 or more, or inf")
        if self.n is not None and self.n < 1:
            raise ConfigError(f"n is {self.n}; expected 1 or more parameters")


def corruption_along(direction: Tensor, constraint: Constraint) -> Tensor:
    """Find the corruption a in S that maximises aᵀv.

    a = ε·sgn(h)·|h|^{1/(p−1)} / ‖|h|^{1/(p−1)}‖_p with h = top_n(v); for p = ∞ this is ε·sgn(h),
    and for p = 1 all of ε lies on the largest entry, the first among equals. (The denominators
    printed in the paper do not give a the norm ε; this one does.)

    Args:
        direction: v: the gradient, or a random normal vector; float [k].
        constraint: S.

    Returns:
        a, of v's shape and dtype; zeros where v is all zeros. aᵀv = ε·‖h‖_{p/(p−1)}.

    Raises:
        TensorError: v is not a vector, or not finite.
        ConfigError: n is larger than k.
    """
    if direction.dim() != 1 or not bool(torch.isfinite(direction).all()):
        raise TensorError(
            f"the direction is {list(direction.shape)}, or not finite; expected finite numbers [k]"
        )
    kept, n = direction, constraint.n
    if n is not None and n > len(direction):
        raise ConfigError(f"n is {n}; only {len(direction)} parameters were chosen")
    if n is not None and n < len(direction):  # top_n: the others are set to 0
        largest = direction.abs().topk(n).indices
        kept = torch.zeros_like(direction).index_copy(0, largest, direction[largest])
    size = kept.abs().double()
    top = size.max() if len(size) else size.sum()
    if float(top) == 0.0:
        return torch.zeros_like(direction)
    if constraint.p == math.inf:
        return kept.sign() * constraint.epsilon
    if constraint.p == 1:
        shape = torch.zeros_like(size)
        shape[size.argmax()] = 1.0
    else:
        # Divided by the largest entry first, so that a large power neither over- nor underflows.
        shape = (size / top) ** (1 / (constraint.p - 1))
    length = shape.norm(constraint.p)
    scale: Tensor = constraint.epsilon / length
    return (kept.sign() * (shape * scale)).to(direction)


Corruption = Mapping[str, Tensor]
"""a, by the names of parameters: what is added to each; float64 of its shape."""


def gradient_corruption(gradient: Mapping[str, Tensor], constraint: Constraint) -> Corruption:
    """Find the corruption in S that the loss rises most for, to first order (equation 7).

    Of the parameters that a gradient is given for; n counts over all of them together.

    Returns:
        â, with âᵀg = ε·‖h‖_{p/(p−1)}; zeros where g is all zeros.

    Raises:
        ConfigError: no tensor is given, or n is larger than k.
        TensorError: the gradient is not finite.
    """
    if not gradient:
        raise ConfigError("no parameters were given to corrupt")
    flat = [tensor.detach().cpu().double().flatten() for tensor in gradient.values()]
    return _shaped(corruption_along(torch.cat(flat), constraint), gradient)


def random_corruption(
    like: Mapping[str, Tensor], constraint: Constraint, *, seed: int
) -> Corruption:
    """Draw a corruption in S: the one that a normal vector asks for (equation 4).

    For p = 2 and n = k it is uniform on the sphere of radius ε (theorem 1). The same seed, names
    and shapes give the same corruption.

    Raises:
        ConfigError: no tensor is given, or n is larger than k.
    """
    generator = torch.Generator().manual_seed(seed)
    size = sum(tensor.numel() for tensor in like.values())
    if not size:
        raise ConfigError("no parameters were given to corrupt")
    direction = torch.randn(size, generator=generator, dtype=torch.float64)
    return _shaped(corruption_along(direction, constraint), like)


def first_order_change(corruption: Corruption, gradient: Mapping[str, Tensor]) -> float:
    """Compute aᵀg, the loss change to first order, in nats (equation 3)."""
    return sum(
        float(torch.sum(part * gradient[name].to(part))) for name, part in corruption.items()
    )


def corrupted_copy(model: nn.Module, corruption: Corruption) -> nn.Module:
    """Make a model of w + a, in evaluation mode, without gradients; the given one is left as it is.

    Raises:
        UnknownNameError: the model has no such parameter.
        TensorError: a part has another shape than its parameter, or is not finite.
    """
    scratch = scratch_copy(model)
    _add(_targets(scratch, corruption), corruption)
    return scratch


@contextmanager
def corrupting(scratch: nn.Module, corruption: Corruption) -> Iterator[nn.Module]:
    """Add a to the parameters of a copy inside the block, and put the very same bits back after.

    Raises:
        UnknownNameError, TensorError: as `corrupted_copy`; nothing was changed.
    """
    targets = _targets(scratch, corruption)
    kept = {name: parameter.detach().clone() for name, parameter in targets.items()}
    try:
        _add(targets, corruption)
        yield scratch
    finally:
        with torch.no_grad():
            for name, parameter in targets.items():
                parameter.copy_(kept[name])


def _targets(model: nn.Module, corruption: Corruption) -> dict[str, Tensor]:
    own = dict(model.named_parameters())
    for name, part in corruption.items():
        if name not in own:
            raise UnknownNameError("parameter", name, own)
        if part.shape != own[name].shape or not bool(torch.isfinite(part).all()):
            raise TensorError(
                f"the corruption of {name} is {list(part.shape)}, or not finite; expected finite "
                f"numbers {list(own[name].shape)}"
            )
    return {name: own[name] for name in corruption}


def _add(targets: Mapping[str, Tensor], corruption: Corruption) -> None:
    with torch.no_grad():
        for name, parameter in targets.items():
            moved = parameter.cpu().double() + corruption[name].cpu().double()
            parameter.copy_(moved)


def _shaped(vector: Tensor, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    parts = torch.split(vector, [tensor.numel() for tensor in like.values()])
    return {
        name: part.reshape(tensor.shape)
        for (name, tensor), part in zip(like.items(), parts, strict=True)
    }


_ATTENTION, _OTHER = "attention", "other"


@dataclass(frozen=True)
class Group:
    """Parameters that are corrupted together: the subspace of k dimensions that w lies in.

    Attributes:
        name: for people.
        parameters: names as in `model.named_parameters()`, in its order; at least one.
        size: k, how many numbers they hold.
    """

    name: str
    parameters: tuple[str, ...]
    size: int


def all_parameters(model: nn.Module) -> Group:
    """Every parameter of floating point.

    Raises:
        ConfigError: there is none.
    """
    return named_group(model, _sizes(model), name="all")


def by_type(model: nn.Module) -> tuple[Group, ...]:
    """Sort parameters by the component that they belong to (figure 4 of the paper).

    The types: "conv" (convolutions), "norm" (Batch-, Instance-, Layer-, Group- and RMSNorm: their
    affine terms), "linear", "embedding", "attention" (everything inside `MultiheadAttention`) and
    "other". A bias belongs to its module. Types without a parameter are left out.

    Raises:
        ConfigError: the model has no parameter of floating point.
    """
    known = [row.component for row in OPERATIONS if row.component]
    kinds: dict[str, list[str]] = {name: [] for name in (*known, _OTHER)}
    attention: list[str] = []
    for path, module in model.named_modules():
        component = component_of(module) or _OTHER
        if component == _ATTENTION:
            attention.append(f"{path}." if path else "")
        inside = any(f"{path}.".startswith(prefix) for prefix in attention)
        own = module.named_parameters(path, recurse=False)
        kinds[_ATTENTION if inside else component] += dict(own)
    return _groups(model, kinds)


def by_layer(model: nn.Module) -> tuple[Group, ...]:
    """One group a layer, shallowest first; layers as in `rwsstore.models.ordered_layers`.

    Raises:
        ConfigError: the model cannot be traced, or has no layer or parameter.
    """
    return _groups(model, {layer.name: layer.parameters for layer in ordered_layers(model)})


def by_module(model: nn.Module) -> tuple[Group, ...]:
    """One group for each module that has parameters of its own, in the order of registration.

    Those of the model itself, outside all modules, are the group "(model)".

    Raises:
        ConfigError: the model has no parameter of floating point.
    """
    owned = {
        path or "(model)": dict(module.named_parameters(path, recurse=False))
        for path, module in model.named_modules()
    }
    return _groups(model, owned)


def named_group(model: nn.Module, names: Iterable[str], *, name: str = "chosen") -> Group:
    """Choose parameters by their names; of a tied parameter that is the first name.

    Raises:
        ConfigError: none is named, or one twice.
        UnknownNameError: the model has no such parameter of floating point.
    """
    chosen, sizes = list(names), _sizes(model)
    if not chosen or len(set(chosen)) != len(chosen):
        raise ConfigError(
            f"the parameters to corrupt are {chosen or 'none'}; expected one or more, each once"
        )
    for wanted in chosen:
        if wanted not in sizes:
            raise UnknownNameError("parameter", wanted, sizes)
    ordered = tuple(own for own in sizes if own in set(chosen))
    return Group(name, ordered, sum(sizes[own] for own in ordered))


def _sizes(model: nn.Module) -> dict[str, int]:
    return {
        name: parameter.numel()
        for name, parameter in model.named_parameters()
        if parameter.is_floating_point() and parameter.numel()
    }


def _groups(model: nn.Module, owned: Mapping[str, Iterable[str]]) -> tuple[Group, ...]:
    """Make a group of each, without those that are empty; a tied parameter counts once."""
    left = _sizes(model)
    found = []
    for name, parameters in owned.items():
        sizes = {one: left.pop(one) for one in parameters if one in left}
        if sizes:
            found.append(Group(name, tuple(sizes), sum(sizes.values())))
    if not found:
        raise ConfigError(f"{type(model).__name__} has no parameter that could be corrupted")
    return tuple(found)
