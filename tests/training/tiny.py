"""Networks and image sets so small that a training takes a fraction of a second."""

import torch
from torch import Tensor, nn

from rwsstore.data import ImageSet
from rwsstore.models import Classifier, ModelSpec, build
from rwsstore.training import TrainingConfig

CLASSES = ("red", "green", "blue")


class TwoConvs(nn.Module):
    """A user's own network: two convolutions, with or without BatchNorm, and a linear layer."""

    def __init__(self, *, batch_norm: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.norm1: nn.Module = nn.BatchNorm2d(6) if batch_norm else nn.Identity()
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1)
        self.norm2: nn.Module = nn.BatchNorm2d(8) if batch_norm else nn.Identity()
        self.fc = nn.Linear(8, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        x = (x.float() - 128) / 64
        x = self.norm1(self.conv1(x)).relu()
        x = self.norm2(self.conv2(x)).relu()
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def two_convs(seed: int = 0, *, batch_norm: bool = False) -> TwoConvs:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TwoConvs(batch_norm=batch_norm).eval()


def classifier(
    network: str = "vgg16", *, size: int = 16, folded: bool = False, seed: int = 0
) -> Classifier:
    spec = ModelSpec(
        network=network,
        num_classes=len(CLASSES),
        classes=CLASSES,
        width=0.125,
        input_size=size,
        folded=folded,
    )
    return build(spec, seed=seed).eval()


def pictures(count: int = 36, size: int = 8, seed: int = 0, *, strength: int = 60) -> ImageSet:
    """Noise in which one colour is stronger than the others: the class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % len(CLASSES)
    images = torch.randint(0, 150, (count, 3, size, size), generator=generator)
    images[torch.arange(count), labels] += strength
    return ImageSet(images.to(torch.uint8), labels, CLASSES, "tiny")


def config(epochs: int = 2, **fields: object) -> TrainingConfig:
    values = {
        "batch_size": 12,
        "learning_rate": 0.05,
        "padding": 1,
        "flip": False,
        "epochs": epochs,
        **fields,
    }
    return TrainingConfig.model_validate(values)


def same(left: nn.Module, right: nn.Module) -> bool:
    """Whether two models have the same tensors, to the bit."""
    one, other = left.state_dict(), right.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def changed(left: nn.Module, right: nn.Module) -> set[str]:
    """Names of the tensors that differ."""
    other = right.state_dict()
    return {name for name, t in left.state_dict().items() if not torch.equal(t, other[name])}
