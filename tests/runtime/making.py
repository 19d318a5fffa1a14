"""Models of every kind that a patch is put on, and patches for them."""

from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from rwsstore.errors import ConfigError
from rwsstore.models import shallowest
from rwsstore.models.graph import Graph
from rwsstore.patches import (
    GoldenProbe,
    Patch,
    PatchSet,
    QuantizedTensor,
    identify,
    make_patch,
    probe_images,
    record_golden,
)
from rwsstore.runtime import CleanModel
from rwsstore.runtime.splitting import Split, cut, works
from rwsstore.runtime.variant import build_variant
from tests.training.tiny import classifier, two_convs

SIZE = 16


class Tied(nn.Module):
    """Two layers that share their weights, and one that does not."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 3, 3, padding=1)
        self.conv2 = nn.Conv2d(3, 3, 3, padding=1)
        self.conv2.weight = self.conv1.weight
        self.fc = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2(self.conv1(x.float() / 255).relu()).relu()
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


class Twice(nn.Module):
    """Calls the same layer twice, under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 3, 3, padding=1)
        self.again = self.stem
        self.fc = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.again(self.stem(x.float() / 255).relu()).relu()
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


class Loose(nn.Module):
    """Reaches its layers by a plain list and a bound method as well."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 3, 3, padding=1)
        self.conv2 = nn.Conv2d(3, 3, 3, padding=1)
        self.steps = [self.conv1]
        self.last = {"step": self.conv2.forward}
        self.fc = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x.float() / 255
        for step in self.steps:
            x = step(x).relu()
        logits: Tensor = self.fc(self.last["step"](x).mean((2, 3)))
        return logits


def _seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make().eval()


MODELS: dict[str, Callable[[], nn.Module]] = {
    "vgg16": lambda: classifier("vgg16", size=SIZE, folded=True),
    "resnet18": lambda: classifier("resnet18", size=SIZE, folded=True),
    "resnet18 with BatchNorm": lambda: classifier("resnet18", size=SIZE),
    "two convolutions": two_convs,
    "tied": lambda: _seeded(Tied),
    "twice": lambda: _seeded(Twice),
    "loose": lambda: _seeded(Loose),
    "graph": lambda: fx.symbolic_trace(two_convs()),
}


def pixels(count: int = 4, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)


def shallow_names(model: nn.Module, layers: int) -> list[str]:
    if isinstance(model, fx.GraphModule):  # its layers are called as in what was traced
        return [name for name, _ in model.named_parameters()][: 2 * layers]
    return [name for layer in shallowest(model, layers) for name in layer.parameters]


def make_deltas(
    model: nn.Module, names: Iterable[str], seed: int, scale: float
) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    state = model.state_dict()
    return {
        name: torch.randn(state[name].shape, generator=generator, dtype=torch.float64) * scale
        for name in names
    }


def bare_patch(
    model: nn.Module,
    name: str = "fog",
    *,
    seed: int = 0,
    bits: int = 8,
    layers: int = 1,
    scale: float = 0.05,
    names: Iterable[str] | None = None,
    **fields: Any,
) -> Patch:
    """A patch without golden logits."""
    touched = shallow_names(model, layers) if names is None else names
    return make_patch(
        kind="rws",
        name=name,
        model=identify(model.state_dict()),
        layers=(),
        deltas=make_deltas(model, touched, seed, scale),
        bits=bits,
        **fields,
    )


def with_golden(model: nn.Module, patch: Patch, *, size: int = SIZE) -> Patch:
    clean = CleanModel.of(model)
    alone = PatchSet(((patch.digest, patch.metadata.alpha.recommended),))
    models = (
        build_variant(clean, PatchSet(), {}),
        build_variant(clean, alone, {patch.digest: patch}),
    )
    probe = GoldenProbe(seed=3, count=2, size=size)
    golden = record_golden(*models, probe_images(probe.seed, probe.count, probe.size))
    return patch.with_evidence(card=None, golden=golden, probe=probe)


def a_patch(model: nn.Module, name: str = "fog", **fields: Any) -> Patch:
    """A patch with golden logits; other seeds give other numbers."""
    return with_golden(model, bare_patch(model, name, **fields))


def reference_state(model: nn.Module, chosen: Iterable[tuple[Patch, float]]) -> dict[str, Tensor]:
    """The patched tensors by numpy: a copy of the clean ones, and one sum for each patch."""
    state = {name: tensor.clone().numpy() for name, tensor in model.state_dict().items()}
    for patch, alpha in sorted(chosen, key=lambda item: item[0].digest):
        for name, payload in patch.tensors.items():
            if isinstance(payload, QuantizedTensor):
                scale = (payload.scale.numpy().astype(np.float64) * alpha).astype(np.float32)
                codes = payload.codes.numpy().astype(np.float32)
                delta = codes * scale.reshape(-1, *[1] * (codes.ndim - 1))
            else:
                delta = payload.values.numpy() * np.float32(alpha)
            state[name] = state[name] + delta
    return {name: torch.from_numpy(np.asarray(array)) for name, array in state.items()}


def equal_bits(left: Tensor, right: Tensor) -> bool:
    return left.shape == right.shape and left.numpy().tobytes() == right.numpy().tobytes()


def split_after(model: nn.Module, tensors: Collection[str], images: Tensor) -> Split | None:
    """Cut a network around what reads these tensors; None where it cannot be cut."""
    try:
        found = cut(Graph(model), tensors)
    except ConfigError:
        return None
    return found if found is not None and works(found, model, images) else None
