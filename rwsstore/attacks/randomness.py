"""Random starts that depend on an image's place in its data set, not on its batch."""

__all__ = ["random_changes"]

import torch
from torch import Tensor

from rwsstore.attacks.ball import Ball
from rwsstore.canonical import canonical_json, sha256_hex


def random_changes(
    ball: Ball, shape: torch.Size, *, seed: int, indices: Tensor, restart: int
) -> Tensor:
    """Draw a change from the ball for each image, from (seed, its index, restart) alone.

    Args:
        ball: where from.
        shape: of one image, [3, H, W].
        seed: the caller's.
        indices: int64 [B], each image's index in its data set.
        restart: 0 for the first start.

    Returns:
        float32 [B, 3, H, W] on the CPU.
    """
    generator = torch.Generator()
    one = torch.Size((1, *shape))
    changes = []
    for index in indices.tolist():
        generator.manual_seed(_number(seed, index, restart))
        changes.append(ball.sample(one, generator))
    return torch.cat(changes)


def _number(*key: int) -> int:
    """Make an independent number of a key, 0 to 2^62 − 1."""
    return int(sha256_hex(canonical_json(key).encode())[:16], 16) >> 2
