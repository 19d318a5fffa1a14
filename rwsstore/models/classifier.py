"""A network with its normalization in front and its specification beside it."""

__all__ = ["Classifier"]

from torch import Tensor, nn

from rwsstore.models.normalize import Normalize
from rwsstore.models.spec import ModelSpec


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
