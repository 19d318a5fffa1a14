"""The networks of this project: VGG-16, and residual ones with a 3×3 stem, no pool behind it."""

from collections import OrderedDict

from torch import Tensor, nn

from rwsstore.errors import ConfigError
from rwsstore.models.registry import network
from rwsstore.models.spec import ModelSpec

_MULTIPLE = 8


def scaled(channels: int, width: float) -> int:
    """Multiply a number of channels by `width`, rounded to a multiple of 8 and at least 8."""
    return max(_MULTIPLE, round(channels * width / _MULTIPLE) * _MULTIPLE)


def he_initialize(network: nn.Module) -> None:
    """Draw weights so that activations keep their variance through ReLUs; biases are 0.

    He et al., "Delving deep into rectifiers", 2015, equation 10 (fan in). The last linear layer
    has no ReLU behind it and gets half that variance. BatchNorm keeps its weight 1 and bias 0.
    Draws from torch's global generator, which `build` seeds and restores. Tensors on the meta
    device hold nothing to draw, and trying would import half of torch's compiler.
    """
    for module in network.modules():
        if any(parameter.is_meta for parameter in module.parameters(recurse=False)):
            continue
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


# Output channels of the 3×3 convolutions; a pool lies between two groups.
_VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class Vgg(nn.Module):
    """3×3 convolutions with pools between their groups, one average, one linear layer.

    Simonyan and Zisserman, 2015, configuration D, without its two hidden linear layers. Pools
    round up, so that images of any size pass; at 32 pixels nothing is rounded.

    Args:
        spec: with its width, classes and BatchNorm; behind a BatchNorm, convolutions have no bias.
        groups: output channels of the convolutions at width 1, group by group.
    """

    def __init__(self, spec: ModelSpec, groups: tuple[tuple[int, ...], ...]) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        before, number, norm = 3, 0, spec.batch_norm
        for index, group in enumerate(groups):
            if index:
                layers[f"pool{index}"] = nn.MaxPool2d(2, ceil_mode=True)
            for channels in (scaled(wide, spec.width) for wide in group):
                number += 1
                layers[f"conv{number}"] = nn.Conv2d(before, channels, 3, padding=1, bias=not norm)
                if norm:
                    layers[f"norm{number}"] = nn.BatchNorm2d(channels)
                layers[f"relu{number}"] = nn.ReLU()
                before = channels
        self.features = nn.Sequential(layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(before, spec.num_classes)
        he_initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """Take normalized images [B, 3, H, W] to logits [B, num_classes]."""
        logits: Tensor = self.classifier(self.flatten(self.pool(self.features(x))))
        return logits


@network
def vgg16(spec: ModelSpec) -> nn.Module:
    """Build VGG-16: 13 convolutions and one linear layer."""
    return Vgg(spec, _VGG16)


_STAGES = (64, 128, 256, 512)
_SMALL_STAGES = (16, 32, 64)


def _convolution(before: int, after: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, size, stride=stride, padding=size // 2, bias=False)


def _shortcut(before: int, after: int, stride: int) -> nn.Module:
    if before == after and stride == 1:
        return nn.Identity()
    return nn.Sequential(_convolution(before, after, 1, stride), nn.BatchNorm2d(after))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut (He et al., 2016, figure 5, left)."""

    expansion = 1

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _convolution(before, channels, 3, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _convolution(channels, channels, 3)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.downsample = _shortcut(before, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Take [B, before, H, W] to [B, channels, H / stride, W / stride]."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out)) + self.downsample(x)
        result: Tensor = self.relu(out)
        return result


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions and a shortcut (He et al., 2016, figure 5, right).

    The stride is the 3×3 convolution's, as in torchvision.
    """

    expansion = 4

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        after = channels * self.expansion
        self.conv1 = _convolution(before, channels, 1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _convolution(channels, channels, 3, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = _convolution(channels, after, 1)
        self.bn3 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU()
        self.downsample = _shortcut(before, after, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Take [B, before, H, W] to [B, 4·channels, H / stride, W / stride]."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out)) + self.downsample(x)
        result: Tensor = self.relu(out)
        return result


class ResNet(nn.Module):
    """A stem, stages of residual blocks, one average, one linear layer.

    Tensors are named as in torchvision's ResNets.

    Args:
        spec: with its width, classes and BatchNorm.
        block: its kind.
        depths: number of blocks in each stage.
        stages: channels of each stage at width 1; each but the first halves height and width.
        stride: of the stem.

    Raises:
        ConfigError: no BatchNorm is wanted.
    """

    def __init__(
        self,
        spec: ModelSpec,
        block: type[BasicBlock] | type[Bottleneck],
        depths: tuple[int, ...],
        *,
        stages: tuple[int, ...] = _STAGES,
        stride: int = 1,
    ) -> None:
        super().__init__()
        if not spec.batch_norm:
            raise ConfigError(
                f"{spec.network} cannot be built without BatchNorm: it would not train. "
                "Leave batch_norm on and fold the trained network."
            )
        before = scaled(stages[0], spec.width)
        self.conv1 = _convolution(3, before, 3, stride)
        self.bn1 = nn.BatchNorm2d(before)
        self.relu = nn.ReLU()
        self._stages = tuple(f"layer{number}" for number in range(1, len(stages) + 1))
        for name, channels, depth in zip(self._stages, stages, depths, strict=True):
            inner = scaled(channels, spec.width)
            blocks = [block(before, inner, 1 if name == self._stages[0] else 2)]
            before = inner * block.expansion
            blocks += [block(before, inner, 1) for _ in range(depth - 1)]
            self.add_module(name, nn.Sequential(*blocks))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(before, spec.num_classes)
        he_initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """Take normalized images [B, 3, H, W] to logits [B, num_classes]."""
        x = self.relu(self.bn1(self.conv1(x)))
        for name in self._stages:
            x = self.get_submodule(name)(x)
        logits: Tensor = self.fc(self.flatten(self.pool(x)))
        return logits


@network
def resnet18(spec: ModelSpec) -> nn.Module:
    """Build ResNet-18: the stem, 8 basic blocks and one linear layer."""
    return ResNet(spec, BasicBlock, (2, 2, 2, 2))


@network
def resnet32(spec: ModelSpec) -> nn.Module:
    """Build ResNet-32 as for CIFAR-10 (He et al., 2016, section 4.2): 15 basic blocks, 3 stages.

    Shortcuts that change the size are 1×1 convolutions.
    """
    return ResNet(spec, BasicBlock, (5, 5, 5), stages=_SMALL_STAGES)


@network
def resnet32_stride2(spec: ModelSpec) -> nn.Module:
    """Build ResNet-32 behind a stem of stride 2: the same tensors for a quarter of the work."""
    return ResNet(spec, BasicBlock, (5, 5, 5), stages=_SMALL_STAGES, stride=2)


@network
def resnet50(spec: ModelSpec) -> nn.Module:
    """Build ResNet-50: the stem, 16 bottleneck blocks and one linear layer."""
    return ResNet(spec, Bottleneck, (3, 4, 6, 3))
