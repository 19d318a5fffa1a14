"""Networks of every kind that bits are flipped in, and images that they classify rightly."""

from collections.abc import Callable

import torch
from torch import Tensor, fx, nn

from rwsstore.data import ImageSet
from rwsstore.probes.bitflips import Sites
from tests.models.networks import lively
from tests.runtime.making import MODELS
from tests.training.tiny import classifier, two_convs

SIZE = 8


class InPlace(nn.Module):
    """Residual blocks that work in place, as torchvision's do, with shortcuts of both kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.conv1 = nn.Conv2d(4, 6, 3, padding=1, stride=2, bias=False)
        self.norm1 = nn.BatchNorm2d(6)
        self.down = nn.Conv2d(4, 6, 1, stride=2)
        self.norm2 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.stem(x))
        out = self.norm1(self.conv1(x))
        out.add_(self.norm2(self.down(x)))
        x = self.relu(out)
        out = self.conv2(x)
        out += x
        torch.relu_(out)
        logits: Tensor = self.fc(out.mean((2, 3)))
        return logits


class Odd(nn.Module):
    """Layers of which single channels are not computed: groups, borders that repeat, a subclass."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1, padding_mode="reflect")
        self.groups = nn.Conv2d(6, 6, 3, groups=3, dilation=2)
        self.mixing = nn.Conv2d(6, 4, 1)
        self.turned = nn.ConvTranspose2d(4, 5, 2, stride=2)
        self.doubled = Doubled(5, 3, 3)
        self.scale = nn.Parameter(torch.ones(3, 1, 1))

    def forward(self, x: Tensor, power: int = 1) -> Tensor:
        x = torch.nn.functional.gelu(self.groups(self.first(x)))
        x = self.turned(self.mixing(x).sigmoid())
        logits: Tensor = (self.doubled(x) * self.scale).mean((2, 3)) ** power
        return logits


class Doubled(nn.Conv2d):
    """A subclass with a forward pass of its own."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return 2 * super().forward(input)


class Dense(nn.Module):
    """Linear layers only, with a BatchNorm and a shortcut between them."""

    def __init__(self) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.first = nn.Linear(3 * SIZE * SIZE, 8)
        self.norm = nn.BatchNorm1d(8)
        self.second = nn.Linear(8, 8)
        self.unused = nn.Linear(2, 2)
        self.last = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.first(self.flatten(x)))
        x = torch.tanh(self.second(x).relu() + x)
        logits: Tensor = self.last(x)
        return logits


class Hooked(nn.Module):
    """A layer whose output a hook changes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.conv.register_forward_hook(_negate)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.conv(x).relu().mean((2, 3)))
        return logits


def _negate(module: nn.Module, arguments: object, output: Tensor) -> Tensor:
    return -output


class Branching(nn.Module):
    """Branches on the values of its input, so that it cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv(x)
        if bool(out.mean() > 1e6):
            out = -out
        logits: Tensor = self.fc(out.relu().mean((2, 3)))
        return logits


class Smearing(nn.Module):
    """A view of a value is modified in place: what is kept of it is not what it was."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.gate = nn.Linear(4, 4)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.conv(x).mean((2, 3))
        view = pooled.view(-1, 4)
        view.mul_(self.gate(pooled))
        logits: Tensor = self.fc(pooled)
        return logits


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        model = make().eval()
    lively(model)
    return model


def centred(model: nn.Module) -> nn.Module:
    """Shift the last layer's bias so that a network gives several answers, not always one."""
    with torch.no_grad():
        mean = model(noise(24).float() / 255).mean(0)
        layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
        if layers:
            layers[-1].bias.sub_(mean)
    return model


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    **{name: make for name, make in MODELS.items() if name not in ("two convolutions", "graph")},
    "graph": lambda: fx.symbolic_trace(seeded(Dense)),
    "two convolutions with BatchNorm": lambda: two_convs(batch_norm=True),
    "in place": lambda: seeded(InPlace),
    "odd layers": lambda: seeded(Odd),
    "dense": lambda: seeded(Dense),
    "hooked": lambda: seeded(Hooked),
    "branching": lambda: seeded(Branching),
    "smearing": lambda: seeded(Smearing),
}

UNLIKE = ("tied", "two convolutions with BatchNorm", "in place", "hooked", "branching", "smearing")
"""Those that a survey could treat otherwise; test_replay holds the replay of every network."""


def vgg() -> nn.Module:
    return classifier("vgg16", size=SIZE, folded=True)


def noise(count: int) -> Tensor:
    """Coarse noise, uint8 [count, 3, 8, 8]."""
    generator = torch.Generator().manual_seed(5)
    cells = torch.randint(0, 256, (count, 3, 4, 4), dtype=torch.uint8, generator=generator)
    return cells.repeat_interleave(2, 2).repeat_interleave(2, 3)


def images(model: nn.Module, count: int = 6) -> ImageSet:
    """Noise, labelled with what a model takes it for; the last image with another class."""
    pixels = noise(count)
    with torch.no_grad():
        labels = model(pixels.float() / 255).argmax(1)
    labels[-1] = (labels[-1] + 1) % 3
    return ImageSet(pixels, labels, ("red", "green", "blue"), "noise")


def sites(*rows: tuple[int, int, int]) -> Sites:
    """Sites of (array, index, bit)."""
    return Sites(*torch.tensor(rows, dtype=torch.int64).T.contiguous())
