"""A small trained network, and curves that nobody measured."""

import copy
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rwsstore.models import Normalize
from rwsstore.probes.filtering import FilteringCurves, FilteringOptions
from rwsstore.probes.filtering.curves import FilterCurve
from tests.training.tiny import CLASSES, pictures

EPSILON = 0.02
SHORT = FilteringOptions(epsilon=EPSILON, thresholds=5)


class Block(nn.Module):
    """A residual block, registered in another order than it is called in."""

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.first = nn.Conv2d(6, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.norm(self.second(self.first(x).relu()))
        return (x + inner).relu()


class Small(nn.Module):
    """A convolution, a residual block and a linear layer; one more that is never called.

    It takes uint8 too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.unit = Normalize((0, 0, 0), (1, 1, 1))
        self.norm0 = nn.BatchNorm2d(3)
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(6)
        self.block = Block()
        self.unused = nn.Linear(2, 2)
        self.head = nn.Linear(6, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(self.stem(self.norm0(self.unit(x)))).relu()
        logits: Tensor = self.head(self.block(x).mean((2, 3)))
        return logits


LAYERS = ("stem", "block.first", "block.second", "head")


@cache
def _trained() -> Small:
    images, labels = data(120, seed=5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Small().train()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        for _ in range(40):
            optimizer.zero_grad()
            F.cross_entropy(model(images), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return model.eval()


def trained() -> Small:
    """A copy of a network that gets most of `data` right, and some of it wrong."""
    return copy.deepcopy(_trained())


def data(count: int = 40, seed: int = 6) -> tuple[Tensor, Tensor]:
    """Images in [0, 1] and labels."""
    found = pictures(count, size=8, seed=seed, strength=12)
    return found.images.float() / 255, found.labels


def bits(counts: list[int], images: int) -> Tensor:
    """Of each row so many images are right: the first ones."""
    return torch.arange(images)[None, :] < torch.tensor(counts)[:, None]


def made_up(
    clean: list[int],
    attacked: list[int],
    remaining: list[float],
    *,
    images: int = 20,
    layer: str = "features.conv1",
    name: str = "h1",
) -> FilterCurve:
    """A curve with so many images right at each threshold."""
    return FilterCurve(
        layer=layer,
        filter=name,
        thresholds=torch.linspace(-1, 1, len(clean), dtype=torch.float64),
        remaining=torch.tensor(remaining, dtype=torch.float64),
        clean=bits(clean, images),
        attacked=bits(attacked, images),
    )


def curves_of(*curves: FilterCurve, classes: int = 10) -> FilteringCurves:
    """Curves that were measured together."""
    names = tuple(dict.fromkeys(curve.filter for curve in curves))
    options = FilteringOptions(filters=names, thresholds=len(curves[0].remaining))
    return FilteringCurves(curves, options, classes, curves[0].clean.shape[1], 90.0, 60.0)
