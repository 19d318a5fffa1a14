"""Small real patches for tests."""

from typing import Any

import torch
from torch import Tensor

from rwsstore.canonical import canonical_json, sha256_hex
from rwsstore.patches import ModelIdentity, Patch, make_patch
from rwsstore.patches.metadata import ModelTensor

SHAPES = {
    "network.conv1.weight": (4, 3, 3, 3),
    "network.conv1.bias": (4,),
    "network.fc.weight": (5, 4),
    "network.fc.bias": (5,),
}


def make_model(*tensors: tuple[str, tuple[int, ...], str], weights: str = "clean") -> ModelIdentity:
    """A model of these (name, shape, dtype), with a made-up weights fingerprint."""
    entries = tuple(
        ModelTensor(name=name, shape=shape, dtype=dtype) for name, shape, dtype in sorted(tensors)
    )
    description = [[entry.name, list(entry.shape), entry.dtype] for entry in entries]
    architecture = sha256_hex(canonical_json(description).encode())
    return ModelIdentity(architecture, sha256_hex(weights.encode()), entries)


def make_identity(weights: str = "clean") -> ModelIdentity:
    """A model of four tensors, with a made-up weights fingerprint."""
    return make_model(
        *[(name, shape, "float32") for name, shape in SHAPES.items()], weights=weights
    )


def make_deltas(seed: int = 0) -> dict[str, Tensor]:
    """Deltas on the first convolution."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(SHAPES[name], generator=generator, dtype=torch.float64) * 0.05
        for name in ("network.conv1.weight", "network.conv1.bias")
    }


def make_test_patch(
    name: str = "fog",
    *,
    seed: int = 0,
    bits: int = 8,
    corruption: str | None = "fog",
    weights: str = "clean",
    **fields: Any,
) -> Patch:
    """A patch of one convolution; other seeds give other bytes."""
    return make_patch(
        kind="rws",
        name=name,
        model=make_identity(weights),
        layers=("network.conv1",),
        deltas=make_deltas(seed),
        bits=bits,
        corruption=corruption,
        severity=None if corruption is None else 5,
        **fields,
    )
