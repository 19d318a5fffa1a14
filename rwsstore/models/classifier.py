"""A network with its normalization in front and its specification beside it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rwsstore.errors import TensorError
from rwsstore.models.spec import ModelSpec


class Normalize(nn.Module):
    """Takes images to zero mean and unit deviation: (x − mean) / std, channel by channel.

    The two vectors are buffers, so they are stored with the weights and move with them.

    Args:
        mean: one value a channel, of images in [0, 1].
        std: one value a channel, above 0.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))

    def forward(self, images: Tensor) -> Tensor:
        """Normalize a batch.

        Args:
            images: uint8 in 0…255, or floating point in [0, 1]; [B, C, H, W].

        Returns:
            [B, C, H, W] in the dtype of the buffers, float32 unless the model was converted.

        Raises:
            TensorError: another dtype, or another shape.
        """
        if images.dim() != 4 or images.shape[1] != self.mean.numel():
            raise TensorError(
                f"images have the shape {list(images.shape)}; "
                f"[B, {self.mean.numel()}, H, W] is expected"
            )
        return (_unit_range(images, self.mean.dtype) - _column(self.mean)) / _column(self.std)

    def extra_repr(self) -> str:
        """Show the two vectors where the model is printed."""
        return f"mean={self.mean.tolist()}, std={self.std.tolist()}"


def _unit_range(images: Tensor, dtype: torch.dtype) -> Tensor:
    if images.dtype == torch.uint8:
        return images.to(dtype) / 255
    if images.is_floating_point():
        return images.to(dtype)
    raise TensorError(
        f"images are {images.dtype}; uint8 in 0…255 or floating point in [0, 1] is expected"
    )


def _column(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1)


class Classifier(nn.Module):
    """Images in, logits out.

    Args:
        spec: what the network is.
        normalize: applied to the images first; its buffers hold `spec.mean` and `spec.std`.
        network: takes normalized images [B, 3, H, W] to logits [B, C].
    """

    def __init__(self, spec: ModelSpec, normalize: Normalize, network: nn.Module) -> None:
        super().__init__()
        self.spec = spec
        self.normalize = normalize
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Classify a batch.

        Args:
            images: uint8 in 0…255, or floating point in [0, 1]; [B, 3, H, W].

        Returns:
            Logits [B, C], float32 unless the model was converted or autocast is on.

        Raises:
            TensorError: images of another dtype or shape.
        """
        logits: Tensor = self.network(self.normalize(images))
        return logits
