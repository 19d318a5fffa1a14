"""A network with its normalization in front and its specification beside it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rwsstore.errors import TensorError
from rwsstore.models.spec import ModelSpec


class Normalize(nn.Module):
    """Takes images in [0, 1] to zero mean and unit deviation: (x − mean) / std, by channel.

    The two vectors are buffers, so they are stored with the weights and move with them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))

    def forward(self, images: Tensor) -> Tensor:
        """Normalize a batch, into the dtype of the buffers: float32 unless the model was converted.

        Args:
            images: uint8 in 0…255, or floating point in [0, 1]; [B, C, H, W].

        Raises:
            TensorError: another dtype, or another shape.
        """
        if images.dim() != 4 or images.shape[1] != self.mean.numel():
            raise TensorError(
                f"images have the shape {list(images.shape)}; "
                f"[B, {self.mean.numel()}, H, W] is expected"
            )
        if images.dtype == torch.uint8:
            values = images.to(self.mean.dtype) / 255
        elif images.is_floating_point():
            values = images.to(self.mean.dtype)
        else:
            raise TensorError(
                f"images are {images.dtype}; uint8 in 0…255 or floating point in [0, 1] is expected"
            )
        return (values - self.mean.view(1, -1, 1, 1)) / self.std.view(1, -1, 1, 1)

    def extra_repr(self) -> str:
        """Show the two vectors where the model is printed."""
        return f"mean={self.mean.tolist()}, std={self.std.tolist()}"


class Classifier(nn.Module):
    """Images in, logits out.

    Args:
        spec: what the network is.
        normalize: its buffers hold `spec.mean` and `spec.std`.
        network: takes normalized images [B, 3, H, W] to logits [B, C].
    """

    def __init__(self, spec: ModelSpec, normalize: Normalize, network: nn.Module) -> None:
        super().__init__()
        self.spec = spec
        self.normalize = normalize
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Take images as `Normalize` takes them to logits [B, C].

        Logits are float32 unless the model was converted or autocast is on.
        """
        logits: Tensor = self.network(self.normalize(images))
        return logits
