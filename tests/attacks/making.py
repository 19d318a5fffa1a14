"""Models and images to attack, and what attacks must leave alone."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rwsstore.attacks import Apgd, Attack, FeaturePgd, Fgsm, Norm, Pgd
from rwsstore.data import load_images

SIZE = 16


@dataclass(frozen=True, eq=False)
class Trained:
    """Two networks trained on the same digits from different seeds, and digits to test on."""

    model: nn.Module
    other: nn.Module
    images: Tensor
    labels: Tensor


def trained() -> Trained:
    train, test = (load_images("digits", split, size=SIZE) for split in ("train", "test"))
    pixels = train.images.float() / 255
    test = test.limit(100)
    return Trained(
        model=_trained(0, pixels, train.labels),
        other=_trained(1, pixels, train.labels),
        images=test.images.float() / 255,
        labels=test.labels,
    )


def _trained(seed: int, images: Tensor, labels: Tensor) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(32 * (SIZE // 4) ** 2, 10),
        )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(8):
        order = torch.randperm(len(images), generator=generator)
        for start in range(0, len(order), 64):
            rows = order[start : start + 64]
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images[rows]), labels[rows])
            torch.autograd.backward(loss)
            optimizer.step()
    return model.eval().requires_grad_(False)


class Linear(nn.Module):
    """Two classes; the logits are (0, w·x + bias)."""

    def __init__(self, weights: Tensor, bias: float = 0.0) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights.flatten())
        self.bias = bias
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        score = images.flatten(1) @ self.weights + self.bias
        return torch.stack([torch.zeros_like(score), score], dim=1)


def weights(size: int = 2, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, size, size, generator=generator)


def noise(count: int = 5, size: int = 2, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def attacks(norm: Norm, epsilon: float, layers: tuple[str, ...]) -> list[Attack]:
    """One of each kind, short ones."""
    return [
        Fgsm(epsilon, norm),
        Pgd(epsilon, norm, steps=3, restarts=2),
        FeaturePgd(epsilon, norm, steps=3, layers=layers),
        Apgd(epsilon, norm, steps=6, restarts=2),
    ]


def right(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    with torch.no_grad():
        stands: Tensor = model(images).argmax(1) == labels
    return stands


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    return 100 * float(right(model, images, labels).double().mean())


def sizes(changed: Tensor, images: Tensor, norm: Norm) -> Tensor:
    """How far each image was moved, in float64."""
    change = (changed.double() - images.double()).flatten(1)
    return change.abs().amax(1) if norm == "linf" else change.square().sum(1).sqrt()


def snapshot(model: nn.Module) -> dict[str, Any]:
    """Everything about a model that an attack could have changed."""
    tensors = {name: t.detach().clone() for name, t in model.state_dict(keep_vars=True).items()}
    parameters = dict(model.named_parameters())
    return {
        "bytes": {name: t.numpy().tobytes() for name, t in tensors.items()},
        "ids": {name: id(t) for name, t in model.state_dict(keep_vars=True).items()},
        "wanted": {name: p.requires_grad for name, p in parameters.items()},
        "gradients": {
            name: None if p.grad is None else (id(p.grad), p.grad.numpy().tobytes())
            for name, p in parameters.items()
        },
        "modes": {name: module.training for name, module in model.named_modules()},
        "hooks": {
            name: (len(module._forward_hooks), len(module._forward_pre_hooks))
            for name, module in model.named_modules()
        },
        "random": torch.get_rng_state().numpy().tobytes(),
    }
