"""Which model is this? What a patch records of the clean model that it was extracted from."""

__all__ = ["ModelIdentity", "identify"]

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from rwsstore.canonical import Digest
from rwsstore.models import architecture_fingerprint, weights_fingerprint
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
    """Take a model's fingerprints from its `state_dict()`."""
    entries = (
        TensorEntry(name=name, shape=tuple(tensor.shape), dtype=_dtype_name(tensor))
        for name, tensor in sorted(state.items())
    )
    return ModelIdentity(
        architecture_fingerprint(state), weights_fingerprint(state), tuple(entries)
    )


def _dtype_name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
