"""A tiny model that takes images in [0, 1], trained, and recipes for it."""

from functools import cache

import torch
from torch import Tensor, nn

from rwsstore.making import DeltaOptions
from rwsstore.models.classifier import Normalize
from rwsstore.training import (
    ClatRecipe,
    CleanRecipe,
    CorruptionResistantRecipe,
    HessianAwareRecipe,
    SelectiveRecipe,
    WeightRecipe,
    fit,
)
from tests.training.tiny import CLASSES, config, pictures

TRAIN, VALIDATION = pictures(36, size=16, seed=0), pictures(18, size=16, seed=1)


class UnitConvs(nn.Module):
    """Bytes, or floats in [0, 1], to logits."""

    def __init__(self) -> None:
        super().__init__()
        self.normalize = Normalize((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1)
        self.fc = nn.Linear(8, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2(self.conv1(self.normalize(x)).relu()).relu()
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def fresh(seed: int = 0) -> UnitConvs:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UnitConvs().eval()


@cache
def clean_model() -> nn.Module:
    return fit(fresh(), CleanRecipe(), TRAIN, VALIDATION, config(6, learning_rate=0.1)).model


def recipes() -> dict[str, WeightRecipe]:
    """One of each kind, cheap."""
    filtering = {"thresholds": 3, "filters": ["h1"], "tolerance": 9.0, "attack_epsilon": 0.02}
    return {
        "corruption_resistant": CorruptionResistantRecipe.configured({"epsilon": 0.25}),
        "hessian_aware": HessianAwareRecipe.configured({"trace_layers": 1}),
        "selective": SelectiveRecipe.configured(filtering),
        "clat": ClatRecipe.configured({"steps": 2, "images": 12, "epsilon": 0.05, "k": 1}),
    }


def options(**fields: object) -> DeltaOptions:
    values = {
        "alphas": (0.5, 1.0),
        "card_flips": 6,
        "training": config(2, learning_rate=0.02).model_dump(),
        **fields,
    }
    return DeltaOptions.model_validate(values)
