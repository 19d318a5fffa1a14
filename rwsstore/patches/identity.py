"""Which model is this? What a patch records of the clean model that it was extracted from."""

__all__ = ["ModelIdentity", "identify"]

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError
from torch import Tensor

from rwsstore.canonical import Digest
from rwsstore.errors import TensorError
from rwsstore.models import architecture_fingerprint, weights_fingerprint
from rwsstore.patches.fields import first_fault, short
from rwsstore.patches.metadata import TensorEntry


@dataclass(frozen=True)
class ModelIdentity:
    """A clean model's fingerprints and the tensors that they cover.

    Attributes:
        architecture: fingerprint over names, shapes and dtypes.
        clean_weights: fingerprint over these and the tensors' bytes.
        tensors: every tensor of the model, by name.
    """

    architecture: Digest
    clean_weights: Digest
    tensors: tuple[TensorEntry, ...]


def identify(state: Mapping[str, Tensor]) -> ModelIdentity:
    """Take a model's fingerprints from its `state_dict()`.

    Raises:
        TensorError: a tensor has no plain values, or a name that patches cannot store: over 512
            characters, or with control characters.
    """
    entries = tuple(_entry(name, tensor) for name, tensor in sorted(state.items()))
    return ModelIdentity(architecture_fingerprint(state), weights_fingerprint(state), entries)


def _entry(name: str, tensor: Tensor) -> TensorEntry:
    try:
        return TensorEntry(name=name, shape=tuple(tensor.shape), dtype=_dtype_name(tensor))
    except ValidationError as error:
        raise TensorError(f"tensor '{short(name)}' of the model: {first_fault(error)}") from None


def _dtype_name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
