"""Two names for a model: of its architecture, and of its weights.

Both are SHA-256. The architecture's is over the canonical JSON of [[name, shape, dtype], …],
sorted by name, with dtypes as torch names them ("float32"). The weights' is over the same JSON
followed by the bytes of each tensor in that order: elements row by row, whatever the memory
format, each of them little-endian. So neither depends on machine, device, process or the order in
which the tensors came.
"""

import hashlib
import sys
from collections.abc import Mapping

import torch
from torch import Tensor

from rwsstore.canonical import Digest, canonical_json
from rwsstore.errors import TensorError


def architecture_fingerprint(state: Mapping[str, Tensor]) -> Digest:
    """Hash the names, shapes and dtypes of a model's tensors."""
    return hashlib.sha256(_describe(state)).hexdigest()


def weights_fingerprint(state: Mapping[str, Tensor]) -> Digest:
    """Hash the names, shapes, dtypes and bytes of a model's tensors.

    Zeros of different sign differ, and so do NaNs of different bits.

    Raises:
        TensorError: a tensor is sparse, quantized or on the meta device.
    """
    digest = hashlib.sha256(_describe(state))
    for name in sorted(state):
        digest.update(_little_endian(name, state[name]))
    return digest.hexdigest()


def _describe(state: Mapping[str, Tensor]) -> bytes:
    rows = [
        [name, list(state[name].shape), str(state[name].dtype).removeprefix("torch.")]
        for name in sorted(state)
    ]
    return canonical_json(rows).encode("ascii")


def _little_endian(name: str, tensor: Tensor) -> memoryview:
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        raise TensorError(
            f"{name} is no plain tensor with values; sparse, quantized and meta "
            "tensors have no fingerprint"
        )
    flat = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().view(-1)
    data = flat.view(torch.uint8).view(-1, flat.element_size())
    if sys.byteorder == "big":
        data = data.flip(1)
    return data.reshape(-1).numpy().data
