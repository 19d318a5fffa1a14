"""A tiny residual network for images in [0, 1], and an attack on it, written down once more."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rwsstore.attacks import Ball
from rwsstore.models.classifier import Normalize
from rwsstore.training import CONFIGURED_RECIPES, ConfiguredRecipe
from tests.training.tiny import CLASSES, pictures

TRAIN, VALIDATION = pictures(36, seed=3), pictures(12, seed=4)
UNITS, LABELS = TRAIN.images[:12].float() / 255, TRAIN.labels[:12]
CONVOLUTIONS = ("stem", "first", "second")
"""Those of the main path."""


class Residual(nn.Module):
    """A stem, one block with a convolution on its shortcut, and a linear layer."""

    def __init__(self, *, batch_norm: bool) -> None:
        super().__init__()
        self.normalize = Normalize((0.4, 0.4, 0.4), (0.25, 0.25, 0.25))
        self.stem = nn.Conv2d(3, 6, 3, padding=1, bias=not batch_norm)
        self.norm: nn.Module = nn.BatchNorm2d(6) if batch_norm else nn.Identity()
        self.first = nn.Conv2d(6, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.shortcut = nn.Conv2d(6, 8, 1)
        self.fc = nn.Linear(8, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(self.normalize(x))).relu()
        x = (self.second(self.first(x).relu()) + self.shortcut(x)).relu()
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def residual(seed: int = 0, *, batch_norm: bool = False) -> Residual:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Residual(batch_norm=batch_norm).eval()


def made(name: str, **settings: Any) -> ConfiguredRecipe:
    return CONFIGURED_RECIPES[name].configured(settings)


def climb(
    loss: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    epsilon: float,
    size: float,
    steps: int,
    seed: int,
) -> Tensor:
    """Projected ascent in L∞, from the random start of a generator with this seed."""
    start = Ball(epsilon).sample(images.shape, torch.Generator().manual_seed(seed))
    found = (images + start).clamp(0, 1)
    for _ in range(steps):
        leaf = found.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(leaf), leaf)
        found = found + size * gradient.sign()
        found = torch.minimum(torch.maximum(found, images - epsilon), images + epsilon).clamp(0, 1)
    return found


def cross_entropy(model: nn.Module, labels: Tensor = LABELS) -> Callable[[Tensor], Tensor]:
    return lambda images: F.cross_entropy(model(images), labels, reduction="sum")


@contextmanager
def watched(model: nn.Module) -> Iterator[list[Tensor]]:
    """What the model is given, call by call."""
    seen = list[Tensor]()
    handle = model.register_forward_pre_hook(lambda _module, given: seen.append(given[0].detach()))
    try:
        yield seen
    finally:
        handle.remove()


def gradients(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    """Of the parameters that the loss depends on."""
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {n: g for n, g in zip(named, found, strict=True) if g is not None}


def assert_close(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-6, msg=name)
