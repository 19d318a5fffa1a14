"""Projected gradient ascent on how far chosen layers' outputs move.

Gopal, Yang, Zhang, Horton and Chen, Criticality Leveraged Adversarial Training (CLAT) for Boosted
Performance via Parameter Efficiency, 2024, the inner maximization of equation 8.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from rwsstore.attacks.ball import Ball
from rwsstore.attacks.objectives import Objective
from rwsstore.attacks.pgd import ProjectedAscent, ascend
from rwsstore.attacks.search import AttackBatch
from rwsstore.errors import ConfigError, UnknownNameError
from rwsstore.models import ordered_layers


def layer_outputs(
    model: nn.Module, layers: Sequence[str], images: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Run a model and collect what some of its modules give out.

    Hooks sit on the model during the call only.

    Args:
        model: images to logits.
        layers: paths of modules.
        images: [B, 3, H, W].

    Returns:
        (logits [B, C], float32 [B, …] of each layer: its output where it is first called, before
        any activation that follows, differentiable).

    Raises:
        ConfigError: a layer gives no tensor, or is not called.
    """
    found: dict[str, Tensor] = {}
    hooks = [
        model.get_submodule(name).register_forward_hook(partial(_keep, found, name))
        for name in layers
    ]
    try:
        logits: Tensor = model(images)
    finally:
        for hook in hooks:
            hook.remove()
    missing = [name for name in layers if name not in found]
    if missing:
        raise ConfigError(
            f"layer {missing[0]!r} gave out nothing when the model was run; choose another"
        )
    return logits, [found[name] for name in layers]


def _keep(
    found: dict[str, Tensor], name: str, _module: nn.Module, _inputs: object, output: object
) -> None:
    """Keep the first output of a layer."""
    if not isinstance(output, Tensor):
        raise ConfigError(f"layer {name!r} gives out {type(output).__name__}; expected a tensor")
    # A copy, for an activation in place may come next.
    found.setdefault(name, output.float().clone())


@dataclass(frozen=True)
class FeaturePgd(ProjectedAscent):
    """Projected ascent on Σ_i ‖F_i(x + δ) − F_i(x)‖₂, F_i the output of layer i.

    Always from a random start: at x itself the sum is 0 and has no gradient.

    Attributes:
        layers: names as `ordered_layers` has them, each once.
    """

    name: ClassVar[str] = "feature_pgd"

    layers: tuple[str, ...] = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.layers or len(set(self.layers)) != len(self.layers):
            raise ConfigError(
                f"layers are {', '.join(self.layers) or 'none'}; expected one or more, each once"
            )

    def _check_model(self, model: nn.Module, images: Tensor) -> int:
        classes = super()._check_model(model, images)
        known = [layer.name for layer in ordered_layers(model)]
        for name in self.layers:
            if name not in known:
                raise UnknownNameError("layer", name, known)
        return classes

    def _objective(self, batch: AttackBatch) -> Objective:
        return FeatureChange(batch.model, self.layers, batch.images)


class FeatureChange:
    """Σ_i ‖F_i(x + δ) − F_i(x)‖₂ of each image: how far layers' outputs have moved.

    Args:
        model: the network.
        layers: names of the layers.
        images: float32 [N, 3, H, W], the whole batch as it was.
    """

    def __init__(self, model: nn.Module, layers: Sequence[str], images: Tensor) -> None:
        self._model, self._layers = model, layers
        with torch.no_grad():
            _, self._before = layer_outputs(model, layers, images)

    def __call__(self, images: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Measure some of the batch's images; see `Objective`."""
        logits, after = layer_outputs(self._model, self._layers, images)
        lengths = [
            torch.linalg.vector_norm((now - before[rows]).flatten(1), dim=1, dtype=torch.float32)
            for now, before in zip(after, self._before, strict=True)
        ]
        return torch.stack(lengths).sum(0), logits


def ascend_features(
    model: nn.Module,
    layers: Sequence[str],
    images: Tensor,
    ball: Ball,
    *,
    step_size: float,
    steps: int,
    generator: torch.Generator,
) -> Tensor:
    """Move the outputs of layers, names of modules: CLAT's inner maximization; see `ascend`."""
    objective = FeatureChange(model, layers, images)
    return ascend(objective, images, ball, step_size=step_size, steps=steps, generator=generator)
