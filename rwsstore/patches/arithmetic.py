"""The one arithmetic that puts patches on weights, the same to the bit everywhere.

θ = θ_std + Σ α_i·Δ_i is computed from the pristine clean weights, in float32, each operation
rounded on its own: s′ = fl32(α·s) a channel, the product in float64, then d = fl32(q·s′); the sum
starts at θ_std and takes the d's in the order of the patches' digests. So the result depends
neither on the order of requests nor on the machine, and taking a patch off is not an operation at
all.
"""

__all__ = ["patched_tensor"]

from collections.abc import Iterable

import torch
from torch import Tensor

from rwsstore.errors import TensorError
from rwsstore.patches.quantization import Payload, all_finite


def patched_tensor(name: str, clean: Tensor, parts: Iterable[tuple[Payload, float]]) -> Tensor:
    """Put deltas on one tensor.

    Args:
        name: of the tensor, for messages.
        clean: float32, never modified.
        parts: (payload, α), in the order of the patches' digests.

    Returns:
        A new float32 tensor in the clean one's shape and memory format.

    Raises:
        TensorError: the clean weights are not float32, a delta has another shape, or the patched
            weights are not finite.
    """
    if clean.dtype != torch.float32:
        raise TensorError(f"weights of {name!r} are {clean.dtype}; patches go on float32")
    total = clean.detach().clone()
    for payload, alpha in parts:
        if payload.shape != tuple(clean.shape):
            raise TensorError(
                f"weights of {name!r} have shape {tuple(clean.shape)}, a delta for them "
                f"{payload.shape}"
            )
        # add_ without its alpha argument: with it the product and the sum are rounded as one.
        total.add_(payload.delta(alpha))
    if not all_finite(total):
        raise TensorError(f"patched weights of {name!r} are not finite: use smaller alphas")
    return total
