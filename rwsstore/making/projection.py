"""Differences that become patches: projected (Cai et al., ICML 2023, equation 1), or plain."""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from rwsstore.errors import TensorError

State = Mapping[str, Tensor]

Difference = Callable[[Iterable[str], State, State, State | None], dict[str, Tensor]]
"""Names of tensors, and the states of the clean model, of the trained one and of the anchor (None:
the clean model itself), to float64 deltas by name."""


def project_out(v: Tensor, base: Tensor) -> Tensor:
    """Take out of `v` its projection on `base`: v − (⟨v, base⟩ / ‖base‖²)·base.

    Both are taken as flat vectors. One pass and no d×d matrix: the projection operator that the
    paper writes as a pseudoinverse has rank one.

    Args:
        v: any shape and floating dtype.
        base: of the same shape; where it is zero nothing is taken out.

    Returns:
        float64, of the same shape.
    """
    v, base = v.double(), base.double()
    # Scaled by its largest entry, a tiny base direction does not underflow when it is squared.
    peak = base.abs().max() if base.numel() else base.sum()
    if float(peak) == 0.0:
        return v.clone()
    unit = base / peak
    unit = unit / unit.norm()
    residual: Tensor = v - (v * unit).sum() * unit
    return residual


def signature(
    names: Iterable[str], clean: State, robust: State, anchor: State | None
) -> dict[str, Tensor]:
    """Extract a robust weight signature, tensor by tensor, in float64.

    With v_base = θ_std − θ_init and v_c = θ_c − θ_init it is v_c minus its projection on v_base.
    Where the anchor is the clean model itself, v_base is zero and the signature is θ_c − θ_std.

    Args:
        names: of the tensors to extract.
        clean: state of θ_std.
        robust: state of θ_c.
        anchor: state of θ_init; None: the clean model itself.

    Raises:
        TensorError: a tensor is missing from a model, has another shape there, or is not finite.
    """
    start = clean if anchor is None else anchor
    deltas = {}
    for name in names:
        weights = _exact(clean, name, "clean model")
        counterpart = _exact(robust, name, "robust counterpart", weights)
        origin = _exact(start, name, "anchor", weights)
        deltas[name] = project_out(counterpart - origin, weights - origin)
    return deltas


def _exact(state: State, name: str, what: str, like: Tensor | None = None) -> Tensor:
    if name not in state:
        raise TensorError(f"the {what} has no tensor {name!r}: it is not the same network")
    tensor = state[name].detach().double()
    if not bool(tensor.isfinite().all()):
        raise TensorError(f"{name!r} holds NaN or infinity in the {what}")
    if like is not None and tensor.shape != like.shape:
        raise TensorError(
            f"{name!r} has shape {tuple(tensor.shape)} in the {what}, {tuple(like.shape)} in the "
            "clean model: they are not the same network"
        )
    return tensor


def changes(
    names: Iterable[str], clean: State, trained: State, _anchor: State | None = None
) -> dict[str, Tensor]:
    """Take what a training that started at the clean model changed, in float64.

    Tensors that are what they were are left out.
    """
    return {
        name: trained[name].double() - clean[name].double()
        for name in names
        if not torch.equal(trained[name], clean[name])
    }


def starting_point(
    clean: nn.Module, anchor: nn.Module | None, shallow: Sequence[str] | None
) -> nn.Module:
    """Where the training of a robust counterpart starts.

    Args:
        clean: θ_std.
        anchor: θ_init; None: the clean model itself.
        shallow: names of the tensors that train, where only these do: they start at θ_init, with
            the clean model's deep ones behind them. None: all train, and start at θ_init.

    Raises:
        TensorError: the anchor lacks a tensor that it should give, or has it in another shape.
    """
    if anchor is None:
        return clean
    state, origin = clean.state_dict(), anchor.state_dict()
    for name in state if shallow is None else shallow:
        if name not in origin or origin[name].shape != state[name].shape:
            raise TensorError(
                f"the anchor has no tensor {name!r} like the clean model's: it is not the same "
                "network"
            )
    if shallow is None:
        return anchor
    start = copy.deepcopy(clean)
    start.load_state_dict({**state, **{name: origin[name] for name in shallow}})
    return start
