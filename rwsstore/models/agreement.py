"""Whether a state dict holds the tensors of a specified network, all of them and no others."""

__all__ = ["check_agreement", "expected_tensors"]

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

import torch
from torch import Tensor

from rwsstore.errors import MismatchError
from rwsstore.models.registry import outline
from rwsstore.models.spec import ModelSpec

_Kind = tuple[tuple[int, ...], torch.dtype]


@lru_cache(maxsize=16)
def expected_tensors(spec: ModelSpec) -> Mapping[str, _Kind]:
    """List the shape and dtype of each tensor of a specified model, without building it.

    Raises:
        UnknownNameError, ConfigError: as `build`.
    """
    state = outline(spec).state_dict()
    return MappingProxyType({name: _kind(tensor) for name, tensor in state.items()})


def check_agreement(state: Mapping[str, Tensor], spec: ModelSpec, *, what: str) -> None:
    """Refuse tensors that are not exactly those of a specified model.

    Args:
        state: tensors by name.
        spec: the model.
        what: where the tensors came from, for the message.

    Raises:
        MismatchError: names the first difference: a tensor that is missing, of another shape or
            dtype, or one too many; or a normalization other than the specification's.
    """
    expected = expected_tensors(spec)
    for name, kind in expected.items():
        if name not in state:
            raise MismatchError(f"{what}: {_of(spec)} needs the tensor {name}, which is missing")
        if _kind(state[name]) != kind:
            raise MismatchError(
                f"{what}: {name} is {_text(_kind(state[name]))}, {_of(spec)} needs {_text(kind)}"
            )
    extra = next((name for name in state if name not in expected), None)
    if extra is not None:
        raise MismatchError(f"{what}: {_of(spec)} has no tensor {extra}")
    for name, values in (("normalize.mean", spec.mean), ("normalize.std", spec.std)):
        if not torch.equal(state[name].cpu(), torch.tensor(values, dtype=torch.float32)):
            raise MismatchError(
                f"{what}: {name} is {state[name].tolist()}, its specification says {list(values)}"
            )


def _kind(tensor: Tensor) -> _Kind:
    return tuple(tensor.shape), tensor.dtype


def _text(kind: _Kind) -> str:
    shape, dtype = kind
    return f"{str(dtype).removeprefix('torch.')} {list(shape)}"


def _of(spec: ModelSpec) -> str:
    norm = "folded" if spec.folded else "with BatchNorm" if spec.batch_norm else "without BatchNorm"
    return f"{spec.network} ({norm}, width {spec.width:g}, {spec.num_classes} classes)"
