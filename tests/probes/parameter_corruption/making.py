"""A network of three components that has learnt a little, its images, and a witness."""

import copy
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rwsstore.data import ImageSet
from rwsstore.probes.parameter_corruption import Sample
from tests.training.tiny import pictures

IMAGES: ImageSet = pictures(45, size=6, seed=1, strength=40)


class Tiny(nn.Module):
    """Two convolutions, each with a norm, and a linear layer; images in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.bn = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.gn = nn.GroupNorm(2, 6)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv1(x)).relu()
        x = self.gn(self.conv2(x)).relu()
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


@cache
def _trained() -> Tiny:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Tiny()
    train = pictures(60, size=6, seed=0, strength=40)
    parameters = list(model.parameters())
    for _ in range(25):  # by hand: torch.optim takes seconds to import
        loss = F.cross_entropy(model(train.images.float() / 255), train.labels)
        with torch.no_grad():
            for parameter, slope in zip(
                parameters, torch.autograd.grad(loss, parameters), strict=True
            ):
                parameter.sub_(0.3 * slope)
    return model.eval()


def tiny(dtype: torch.dtype = torch.float32) -> Tiny:
    """A copy of one's own, in evaluation mode."""
    return copy.deepcopy(_trained()).to(dtype)


def sample(model: nn.Module, *, batch_size: int = 250) -> Sample:
    return Sample.of(model, IMAGES.images, IMAGES.labels, batch_size=batch_size)


def witness(model: nn.Module) -> Any:
    """Everything of a model that nobody may change, and torch's random state."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return (
        {name: tensor.detach().clone().numpy().tobytes() for name, tensor in tensors.items()},
        {
            name: None if p.grad is None else p.grad.clone().numpy().tobytes()
            for name, p in model.named_parameters()
        },
        {name: (id(p), p.requires_grad) for name, p in model.named_parameters()},
        {name: module.training for name, module in model.named_modules()},
        {
            name: (len(module._forward_hooks), len(module._forward_pre_hooks))
            for name, module in model.named_modules()
        },
        torch.get_rng_state().numpy().tobytes(),
        torch.is_grad_enabled(),
    )
