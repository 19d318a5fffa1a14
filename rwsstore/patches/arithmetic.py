"""The one arithmetic that puts patches on weights, the same to the bit everywhere.

θ = θ_std + Σ α_i·Δ_i is computed from the pristine clean weights, in float32, each operation
rounded on its own: s′ = fl32(α·s) a channel, d = fl32(q·s′), and the sum starts at θ_std and
takes the d's in the order of the patches' digests. So the result depends neither on the order of
requests nor on the machine, and taking a patch off is not an operation at all.
"""

__all__ = ["patched_tensor"]

from collections.abc import Iterable

import torch
from torch import Tensor

from rwsstore.errors import TensorError
from rwsstore.patches.quantization import Payload


def patched_tensor(name: str, clean: Tensor, parts: Iterable[tuple[Payload, float]]) -> Tensor:
    """Put deltas on one tensor.

    Args:
        name: of the tensor, for messages.
        clean: float32, never modified.
        parts: (payload, α), in the order of the patches' digests.

    Returns:
        A new float32 tensor in the clean one's shape and memory format.

    Raises:
        TensorError: the patched weights are not finite.
    """
    total = clean.detach().clone()
    for payload, alpha in parts:
        # add_ without its alpha argument: with it the product and the sum are rounded as one.
        total.add_(payload.delta(alpha))
    if not bool(torch.isfinite(total).all()):
        raise TensorError(f"patched weights of {name!r} are not finite: use a smaller alpha")
    return total
