"""Small networks that the tests of this folder share."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rwsstore.models import Classifier, ModelSpec, build


def spec(network: str = "vgg16", *, width: float = 0.125, size: int = 32) -> ModelSpec:
    wide = 1.0 if network.startswith("torchvision:") else width
    return ModelSpec(network=network, num_classes=10, width=wide, input_size=size)


def lively(model: nn.Module, seed: int = 0) -> None:
    """Give every BatchNorm statistics and affine terms that are far from the initial ones."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            for name, tensor in module.state_dict().items():
                if name == "running_var":
                    tensor.uniform_(0.5, 2.0, generator=generator)
                elif tensor.is_floating_point():
                    tensor.uniform_(0.1, 0.7, generator=generator)


def lively_classifier(network: str = "vgg16", *, size: int = 32) -> Classifier:
    model = build(spec(network, size=size))
    lively(model)
    return model.eval()


def pictures(count: int = 2, size: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)


class Untraceable(nn.Module):
    """Branches on the values of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return -out if bool(out.sum() > 0) else out
