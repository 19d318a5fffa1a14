"""Histogram equalisation."""

__all__ = ["equalized"]

import torch
from torch import Tensor


def equalized(levels: Tensor) -> Tensor:
    """Spread each image's levels evenly over 0 … 255, as OpenCV's equalizeHist does.

    Args:
        levels: int64 [B, H, W], 0 to 255.

    Returns:
        int64 [B, H, W]; an image of one level stays as it is.
    """
    flat = levels.flatten(1)
    counts = torch.zeros(flat.shape[0], 256, dtype=torch.int64)
    counts.scatter_add_(1, flat, torch.ones_like(flat))
    lowest = flat.amin(1, keepdim=True)
    at_lowest = counts.gather(1, lowest)
    rest = flat.shape[1] - at_lowest
    above = counts.cumsum(1) - at_lowest
    # A tensor over a tensor: torch takes number / tensor as number · (1 / tensor), rounded twice.
    scale = torch.tensor(255.0) / rest.clamp(min=1).to(torch.float32)
    spread = (above.clamp(min=0).to(torch.float32) * scale).round().clamp(0, 255).long()
    table = torch.where(rest == 0, lowest, spread)
    return table.gather(1, flat).view(levels.shape)
