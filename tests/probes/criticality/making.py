"""Small networks, images, and indices that nobody measured."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rwsstore.models import Normalize
from rwsstore.probes.criticality import CriticalityOptions
from rwsstore.probes.criticality.measuring import Criticality, Weaknesses
from tests.training.tiny import CLASSES, pictures

SHORT = CriticalityOptions(steps=3, step_size=0.012, batch_size=4)


class Block(nn.Module):
    """A residual block with a 1×1 shortcut and an activation in place behind a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(4, 6, 1)
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.first = nn.Conv2d(4, 6, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.norm(self.second(self.relu(self.first(x))))
        out: Tensor = self.shortcut(x) + inner
        return out.relu()


class Small(nn.Module):
    """A convolution, a residual block, a convolution that is called twice, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.unit = Normalize((0.4, 0.4, 0.4), (0.3, 0.3, 0.3))
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.block = Block()
        self.twice = nn.Conv2d(6, 6, 3, padding=1)
        self.head = nn.Linear(6, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(self.norm(self.stem(self.unit(x))).relu())
        x = self.twice(self.twice(x[:, :, ::2, ::2]).relu())
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


LAYERS = ("stem", "block.first", "block.second", "twice")


class Even(nn.Module):
    """Two classes and no bias: logits scale with every convolution's weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, bias=False)
        self.conv2 = nn.Conv2d(4, 4, 3, bias=False)
        self.conv3 = nn.Conv2d(4, 4, 1, bias=False)
        self.head = nn.Linear(4, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv3(self.conv2(self.conv1(x - 0.5).relu()).relu()).relu()
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def small() -> Small:
    """With running statistics that are not the initial ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = Small()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_var, 0.5, 2.0)  # type: ignore[arg-type]
                nn.init.uniform_(module.weight, 0.5, 2.0)
    return model.eval()


def even() -> Even:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return Even().eval()


def data(count: int = 10, classes: int = len(CLASSES), size: int = 8) -> tuple[Tensor, Tensor]:
    """Images in [0, 1] and labels."""
    found = pictures(count, size=size, seed=6)
    return found.images.float() / 255, found.labels % classes


def made_up(indices: Sequence[float], images: int = 20) -> Criticality:
    """With these indices and weaknesses of the same size."""
    layers = tuple(f"net.conv{number}" for number in range(1, len(indices) + 1))
    return Criticality(layers, tuple(indices), tuple(indices), images)


def noisy(images: int = 60, layers: int = 6, seed: int = 0) -> tuple[Weaknesses, Tensor]:
    """Weaknesses that vary by image, and labels of three classes."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(images, layers, generator=generator, dtype=torch.float64) + 0.2
    names = tuple(f"net.conv{number}" for number in range(1, layers + 1))
    return Weaknesses(names, values), torch.arange(images) % 3
