"""Projected gradient ascent: on the cross-entropy, in one step (FGSM), on how far outputs move.

Goodfellow, Shlens and Szegedy, Explaining and Harnessing Adversarial Examples, ICLR 2015.

Madry, Makelov, Schmidt, Tsipras and Vladu, Towards Deep Learning Models Resistant to Adversarial
Attacks, ICLR 2018.

Zhang, Yu, Jiao, Xing, El Ghaoui and Jordan, Theoretically Principled Trade-off between Robustness
and Accuracy (TRADES), ICML 2019, the inner maximization of equation 5.

Gopal, Yang, Zhang, Horton and Chen, Criticality Leveraged Adversarial Training (CLAT) for Boosted
Performance via Parameter Efficiency, 2024, the inner maximization of equation 8.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rwsstore.attacks import search
from rwsstore.attacks.ball import Ball
from rwsstore.attacks.base import Attack, check_count
from rwsstore.errors import ConfigError, UnknownNameError
from rwsstore.models import ordered_layers


@dataclass(frozen=True)
class ProjectedAscent(Attack):
    """x ← project(x + η·direction(∇objective)), several times, from several starts.

    The direction is sign(∇) for `linf` and ∇/‖∇‖₂ for `l2`. Of all points met, the start among
    them, the best is kept: one that the model gets wrong, else the one with the highest objective.

    Attributes:
        steps: gradients a start.
        step_size: η, in the units of ε; None for 2.5·ε/steps.
        restarts: starts; all but the first are for images that still stand.
    """

    steps: int = 10
    step_size: float | None = None
    restarts: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("steps", self.steps)
        check_count("restarts", self.restarts)
        if self.step_size is not None and not (0 < self.step_size < math.inf):
            raise ConfigError(
                f"step_size is {self.step_size!r}; expected a finite number above 0, in the units "
                "of epsilon, or None"
            )

    @abstractmethod
    def _objective(self, batch: search.AttackBatch) -> search.Objective:
        """What is raised."""

    def _start(self, batch: search.AttackBatch, rows: Tensor, restart: int) -> Tensor:
        return batch.start(self.ball, rows, restart)

    def _attack(self, batch: search.AttackBatch) -> Tensor:
        objective = self._objective(batch)

        def climb(rows: Tensor, restart: int, best: search.Best) -> None:
            images = self._start(batch, rows, restart)
            for _ in range(self.steps):
                found = search.differentiate(objective, images, rows, batch.indices)
                stay = best.offer(rows, images, found.loss, found.predicted)
                rows, images, gradient = rows[stay], images[stay], found.gradient[stay]
                if not len(rows):
                    return
                images = self.ball.step(images, gradient, self._step_size, batch.images[rows])
            best.offer(rows, images, *search.measure(objective, images, rows, batch.indices))

        return search.search(batch, climb, self.restarts)

    @property
    def _step_size(self) -> float:
        return self.step_size or default_step_size(self.epsilon, self.steps)


def ascend(
    objective: search.Objective,
    images: Tensor,
    ball: Ball,
    *,
    step_size: float,
    steps: int,
    generator: torch.Generator | None,
) -> Tensor:
    """Climb with every image in the loop of a training: what `ascend_loss` and the like share.

    Nothing is checked, no image leaves early, and the last point counts. Parameters get no
    gradient. A model in training mode sees the images as it does in training: its BatchNorm counts
    them. In the arithmetic of the caller: under autocast the ascent is, like the training, in
    bfloat16.

    Args:
        objective: what is raised; it knows the batch.
        images: float32 [B, 3, H, W] in [0, 1].
        ball: the budget around each.
        step_size: η, in the units of ε.
        steps: gradients.
        generator: of the random start within the budget; None starts at the images.

    Returns:
        float32 [B, 3, H, W] in [0, 1], where the ascent ended.

    Raises:
        TensorError: a loss or gradient is NaN or infinite.
    """
    rows = torch.arange(len(images), device=images.device)
    current = images
    if generator is not None:
        start = ball.sample(images.shape, generator).to(images.device)
        current = ball.project(images + start, images)
    for _ in range(steps):
        gradient = search.differentiate(objective, current, rows, rows, plain=False).gradient
        current = ball.step(current, gradient, step_size, images)
    return current


def default_step_size(epsilon: float, steps: int) -> float:
    """2.5·ε/steps: far enough to cross the budget and turn back (Madry et al. 2018)."""
    return 2.5 * epsilon / steps


@dataclass(frozen=True)
class Fgsm(Attack):
    """x + ε·sign(∇L) for `linf`, x + ε·∇L/‖∇L‖₂ for `l2`, cut to [0, 1].

    L is the cross-entropy with the right class.
    """

    name: ClassVar[str] = "fgsm"

    def _attack(self, batch: search.AttackBatch) -> Tensor:
        rows = torch.arange(len(batch.images), device=batch.images.device)
        objective = search.CrossEntropy(batch.model, batch.labels)
        found = search.differentiate(objective, batch.images, rows, batch.indices)
        return self.ball.step(batch.images, found.gradient, self.epsilon, batch.images)


@dataclass(frozen=True)
class Pgd(ProjectedAscent):
    """Projected ascent on the cross-entropy with the right class.

    Attributes:
        random_start: start at a random place within the budget, not at the image itself; with
            several restarts it must.
    """

    name: ClassVar[str] = "pgd"

    random_start: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.restarts > 1 and not self.random_start:
            raise ConfigError(
                f"{self.restarts} restarts without a random start would all be the same; expected "
                "random_start=True, or restarts=1"
            )

    def _objective(self, batch: search.AttackBatch) -> search.Objective:
        return search.CrossEntropy(batch.model, batch.labels)

    def _start(self, batch: search.AttackBatch, rows: Tensor, restart: int) -> Tensor:
        return super()._start(batch, rows, restart) if self.random_start else batch.images[rows]


def ascend_loss(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    ball: Ball,
    *,
    step_size: float,
    steps: int,
    generator: torch.Generator | None,
) -> Tensor:
    """Make a batch, labels int64 [B], adversarial: PGD as Madry et al. train with it; see `ascend`.

    The model takes images to logits [B, C].
    """
    objective = search.CrossEntropy(model, labels)
    return ascend(objective, images, ball, step_size=step_size, steps=steps, generator=generator)


def divergence(before: Tensor, after: Tensor) -> Tensor:
    """KL(softmax(before) ‖ softmax(after)) of each image, in nats; float32 [B].

    Args:
        before: logits [B, C].
        after: logits [B, C].
    """
    target, log_after = F.log_softmax(before.float(), 1), F.log_softmax(after.float(), 1)
    return F.kl_div(log_after, target, reduction="none", log_target=True).sum(1)


class _Moved:
    def __init__(self, model: nn.Module, images: Tensor) -> None:
        self._model = model
        with torch.no_grad():
            self._before = model(images)

    def __call__(self, images: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        logits = self._model(images)
        return divergence(self._before[rows], logits), logits


def ascend_divergence(
    model: nn.Module,
    images: Tensor,
    ball: Ball,
    *,
    step_size: float,
    steps: int,
    generator: torch.Generator,
) -> Tensor:
    """Move a model's predictions: TRADES' inner maximization; see `ascend`.

    Always from a random start: at the images themselves the divergence has no gradient.
    """
    objective = _Moved(model, images)
    return ascend(objective, images, ball, step_size=step_size, steps=steps, generator=generator)


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

    def keep(name: str, _module: nn.Module, _inputs: object, output: object) -> None:
        if not isinstance(output, Tensor):
            given = type(output).__name__
            raise ConfigError(f"layer {name!r} gives out {given}; expected a tensor")
        # A copy, for an activation in place may come next.
        found.setdefault(name, output.float().clone())

    hooks = [
        model.get_submodule(name).register_forward_hook(partial(keep, name)) for name in layers
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

    def _objective(self, batch: search.AttackBatch) -> search.Objective:
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
