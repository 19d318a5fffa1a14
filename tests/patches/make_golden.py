"""Writes the golden files of format version 1.

They were written once, by `python -m tests.patches.make_golden tests/patches/golden`, and stay as
they are: files of every past version stay readable. A file that is there is never written again.
A later format version adds its own files beside these. If a later safetensors orders or pads
differently, these must still be read, with the same digests, for a digest is of the file's bytes;
only the test that writes them again then needs the release that wrote them.

Nothing in them is drawn by a library: all numbers come from SHAKE-256 and exact arithmetic.
"""

import hashlib
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rwsstore.canonical import canonical_json, sha256_hex
from rwsstore.files import write_atomic
from rwsstore.patches import (
    AlphaRange,
    CardPoint,
    GoldenProbe,
    ModelIdentity,
    Patch,
    RecordedRecipe,
    RobustnessCard,
    compose,
    make_patch,
)
from rwsstore.patches.golden import Golden
from rwsstore.patches.metadata import ModelTensor

FOLDER = Path(__file__).parent / "golden"

_TENSORS = {"conv.bias": (3,), "conv.weight": (3, 1, 3, 3), "fc.weight": (2, 3)}


def numbers(key: str, shape: tuple[int, ...]) -> Tensor:
    """Float64 multiples of 1/1024 in ±1/8, from a key."""
    count = torch.Size(shape).numel()
    data = hashlib.shake_256(f"golden {key}".encode()).digest(count)
    return (torch.tensor(list(data), dtype=torch.float64) - 128).reshape(shape) / 1024


def identity() -> ModelIdentity:
    """A made-up model of three tensors."""
    tensors = tuple(
        ModelTensor(name=name, shape=shape, dtype="float32") for name, shape in _TENSORS.items()
    )
    description = [[entry.name, list(entry.shape), entry.dtype] for entry in tensors]
    architecture = sha256_hex(canonical_json(description).encode())
    return ModelIdentity(architecture, sha256_hex(b"golden weights"), tensors)


def patch_of(name: str, bits: int, **fields: Any) -> Patch:
    """A patch whose second output channel is zero."""
    deltas = {tensor: numbers(f"{name} {tensor}", _TENSORS[tensor]) for tensor in sorted(_TENSORS)}
    deltas["conv.weight"][1] = 0.0
    if bits != 8:
        del deltas["fc.weight"]
    layers = ("conv", "fc") if bits == 8 else ("conv",)
    return make_patch(
        kind="rws", name=name, model=identity(), layers=layers, deltas=deltas, bits=bits, **fields
    )


def eight_bits() -> Patch:
    """A patch with every field of the description in use."""
    patch = patch_of(
        "fog",
        8,
        corruption="fog",
        severity=5,
        alpha=AlphaRange(recommended=1.0, minimum=0.0, maximum=1.5),
        dataset="digits",
        recipe=RecordedRecipe(
            name="robust", seed=7, parameters={"epochs": 4, "rate": 0.02, "flip": True, "x": "é"}
        ),
        anchor="early",
        projected=True,
    )
    points = tuple(
        CardPoint(alpha=alpha, ta=ta, ra=ra)
        for alpha, ta, ra in ((0.0, 90.0, 50.0), (0.5, 89.5, 62.5), (1.0, 88.0, 70.0))
    )
    golden = Golden(numbers("clean", (2, 3)).float(), numbers("patched", (2, 3)).float())
    return patch.with_evidence(
        card=RobustnessCard(images=100, points=points),
        golden=golden,
        probe=GoldenProbe(seed=7, count=2, size=8),
    )


def make() -> dict[str, Patch]:
    """The golden patches by file name."""
    fog, blur = eight_bits(), patch_of("blur", 4, attack="pgd", budget=0.03)
    return {
        "v1_8bit.safetensors": fog,
        "v1_4bit.safetensors": blur,
        "v1_3bit.safetensors": patch_of("snow", 3, corruption="snow", severity=3),
        "v1_32bit.safetensors": patch_of("frost", 32),
        "v1_composed.safetensors": compose("foggy_blur", [(fog, 0.5), (blur, 0.25)]),
    }


def main(folder: Path) -> None:
    """Write those files that are not there yet."""
    for name, patch in make().items():
        if not (folder / name).exists():
            write_atomic(folder / name, patch.to_bytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
