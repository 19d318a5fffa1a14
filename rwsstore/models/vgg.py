"""VGG-16 as the paper on Robust Weight Signatures uses it."""

from collections import OrderedDict

from torch import Tensor, nn

from rwsstore.models.initialization import he_initialize, scaled
from rwsstore.models.spec import ModelSpec

# Output channels of the 3×3 convolutions; a pool lies between two groups.
_VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class Vgg(nn.Module):
    """3×3 convolutions with pools between their groups, one average, one linear layer.

    Simonyan and Zisserman, 2015, configuration D, without its two hidden linear layers. Pools
    round up, so that images of any size pass; at 32 pixels nothing is rounded.

    Args:
        groups: output channels of the convolutions, group by group.
        num_classes: number of logits.
        batch_norm: put a BatchNorm behind each convolution, which then has no bias of its own.
    """

    def __init__(
        self, groups: tuple[tuple[int, ...], ...], *, num_classes: int, batch_norm: bool
    ) -> None:
        super().__init__()
        self.features = _features(groups, batch_norm=batch_norm)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(groups[-1][-1], num_classes)
        he_initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """Take normalized images [B, 3, H, W] to logits [B, num_classes]."""
        logits: Tensor = self.classifier(self.flatten(self.pool(self.features(x))))
        return logits


def _features(groups: tuple[tuple[int, ...], ...], *, batch_norm: bool) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    before, number = 3, 0
    for index, group in enumerate(groups):
        if index:
            layers[f"pool{index}"] = nn.MaxPool2d(2, ceil_mode=True)
        for channels in group:
            number += 1
            layers[f"conv{number}"] = nn.Conv2d(before, channels, 3, padding=1, bias=not batch_norm)
            if batch_norm:
                layers[f"norm{number}"] = nn.BatchNorm2d(channels)
            layers[f"relu{number}"] = nn.ReLU()
            before = channels
    return nn.Sequential(layers)


def vgg16(spec: ModelSpec) -> nn.Module:
    """Build VGG-16: 13 convolutions and one linear layer."""
    groups = tuple(tuple(scaled(channels, spec.width) for channels in group) for group in _VGG16)
    return Vgg(groups, num_classes=spec.num_classes, batch_norm=spec.batch_norm)
