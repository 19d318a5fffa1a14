"""Training of the most critical layers alone, against attacks on their features."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rwsstore.attacks import ascend_features, ascend_loss
from rwsstore.attacks.pgd import layer_outputs
from rwsstore.config import Frozen
from rwsstore.data import ImageSet, unit_images
from rwsstore.errors import ConfigError
from rwsstore.models import main_path_convolutions
from rwsstore.patches import Kind
from rwsstore.probes.criticality import CriticalityOptions, default_count, measure_criticality
from rwsstore.training.config import TrainingConfig
from rwsstore.training.recipes.adversarial import AdversarialRecipe
from rwsstore.training.recipes.options import FAST_STEP, ClatOptions, RecipeOptions
from rwsstore.training.recipes.weight import WeightRecipe, evaluating


class Selection(Frozen):
    """Layers that train from a step on.

    Attributes:
        step: the first that they train in, counted from 0.
        layers: paths of convolutions, the most critical first.
        share: of all parameters that train, 0 to 1.
    """

    step: int
    layers: tuple[str, ...]
    share: float


class ClatRecipe(AdversarialRecipe, WeightRecipe):
    """CLAT: CE(x) + λ·Σ_{i∈S} ‖F_i(x + δ) − F_i(x)‖₂ over the critical layers S (equation 9).

    Only the convolutions of S train: weight, and bias where there is one. S is chosen again in
    intervals; a layer that is chosen again goes on with the momentum that it had. δ raises the sum
    by projected ascent from a random start, anew in each step. Validation under attack,
    `perturbed`, `inner` and `every_steps` are our own; so is that a layer is chosen by one attack
    on `images` of the training images.
    """

    name = ClatOptions.recipe
    kind: ClassVar[Kind] = "clat"
    Options: ClassVar[type[RecipeOptions]] = ClatOptions
    defaults: ClassVar[TrainingConfig] = ClatOptions.training
    settings: ClatOptions

    def __init__(self, options: RecipeOptions | None = None) -> None:
        super().__init__(options)
        self._train: ImageSet | None = None
        self._candidates: dict[str, tuple[str, ...]] = {}
        self._count = 0
        self._selections: tuple[Selection, ...] = ()
        self._steps = 0

    @property
    def selections(self) -> tuple[Selection, ...]:
        """What was selected so far."""
        return self._selections

    @property
    def mean_share(self) -> float:
        """Share of all parameters that trained, in the mean over the steps so far."""
        if not self._steps:
            return 0.0
        ends = [*(one.step for one in self._selections[1:]), self._steps]
        spans = [end - one.step for one, end in zip(self._selections, ends, strict=True)]
        shares = [one.share for one in self._selections]
        return sum(s * n for s, n in zip(shares, spans, strict=True)) / self._steps

    def trainable(self, model: nn.Module) -> frozenset[str]:
        """Parameters of the main path's convolutions, or of those in the layers given.

        Raises:
            ConfigError: no convolution; a layer that the model does not have; k is larger than
                the number of layers.
        """
        allowed, convolutions = super().trainable(model), main_path_convolutions(model)
        found: dict[str, tuple[str, ...]] = {}
        for layer in convolutions:
            own = model.get_submodule(layer).named_parameters(layer)
            names = tuple(name for name, _ in own if name in allowed)
            if names:
                found[layer] = names
        if not found:
            raise ConfigError(
                f"none of the layers {', '.join(self.settings.layers or ())} holds a convolution "
                f"of the main path; these are {', '.join(convolutions)}"
            )
        if (self.settings.k or 1) > len(found):
            raise ConfigError(
                f"k is {self.settings.k}; the model has {len(found)} convolutions to choose from"
            )
        self._candidates = found
        self._count = self.settings.k or min(default_count(len(convolutions)), len(found))
        return frozenset(name for names in found.values() for name in names)

    def begin_epoch(self, model: nn.Module, train: ImageSet, epoch: int, seed: int) -> None:
        """Seed the random starts, and select, where it is time to."""
        if epoch == 1:  # another run may have left some
            self._selections, self._steps = (), 0
        super().begin_epoch(model, train, epoch, seed)
        self._train, settings = train, self.settings
        again = settings.every is not None and (epoch - 1) % settings.every == 0
        if not self._selections or (again and settings.every_steps is None):
            self._select(model, seed)

    def begin_step(self, model: nn.Module, step: int, seed: int) -> bool:
        """Select, where it is time to; and count the step."""
        self._steps = step + 1
        if self.settings.every_steps is None or not step or step % self.settings.every_steps:
            return False
        with evaluating(model):
            self._select(model, seed, step)
        return True

    def active(self, model: nn.Module) -> frozenset[str]:
        """Parameters of the layers selected last."""
        if not self._selections:
            return self.trainable(model)
        return frozenset(
            name for layer in self._selections[-1].layers for name in self._candidates[layer]
        )

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        """Equation 9, at images that are attacked here; of its terms the second is without λ."""
        settings, units = self.settings, unit_images(images)
        layers = self._selections[-1].layers
        attacked = self._attacked(model, units, labels)
        logits, outputs = layer_outputs(model, layers, torch.cat([units, attacked]))
        halves = [output.chunk(2) for output in outputs]
        moved = sum(_distance(clean, changed) for clean, changed in halves)
        clean, changed = logits.float().chunk(2)
        task = F.cross_entropy(clean, labels, label_smoothing=smoothing)
        if settings.perturbed:
            there = F.cross_entropy(changed, labels, label_smoothing=smoothing)
            task = torch.lerp(task, there, settings.perturbed)
        assert isinstance(moved, Tensor)  # noqa: S101  (one layer or more)
        self._terms.add(len(units), cross_entropy=task, features=moved)
        return task + settings.strength * moved

    def _attacked(self, model: nn.Module, units: Tensor, labels: Tensor) -> Tensor:
        settings = self.settings
        size = FAST_STEP * settings.epsilon if settings.fast else settings.chosen_step_size
        steps = 1 if settings.fast else settings.steps
        if settings.inner == "loss":
            return ascend_loss(
                model, units, labels, settings.ball,
                step_size=size, steps=steps, generator=self._generator,
            )  # fmt: skip
        return ascend_features(
            model, self._selections[-1].layers, units, settings.ball,
            step_size=size, steps=steps, generator=self._generator,
        )  # fmt: skip

    def remarks(self) -> tuple[str, ...]:
        """Each selection with its share of the parameters, and the mean share."""
        if not self._selections:
            return ()
        lines = [
            f"from step {one.step}: {', '.join(one.layers)} ({one.share:.1%} of all parameters)"
            for one in self._selections
        ]
        return (*lines, f"trained in the mean: {self.mean_share:.1%} of all parameters")

    def state(self) -> dict[str, Any]:
        """The selections, for what comes after."""
        chosen = [one.model_dump(mode="json") for one in self._selections]
        return {"selections": chosen, "steps": self._steps}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take them up again."""
        self._selections = tuple(Selection.model_validate(one) for one in state["selections"])
        self._steps = state["steps"]

    def _select(self, model: nn.Module, seed: int, step: int | None = None) -> None:
        layers = self._draw(seed) if self.settings.select == "random" else self._rank(model, seed)
        sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
        trained = sum(sizes[name] for layer in layers for name in self._candidates[layer])
        first = self._steps if step is None else step
        chosen = Selection(step=first, layers=layers, share=trained / sum(sizes.values()))
        self._selections = (*self._selections, chosen)

    def _rank(self, model: nn.Module, seed: int) -> tuple[str, ...]:
        assert self._train is not None  # noqa: S101  (begin_epoch comes first)
        settings = self.settings
        sample = self._train.limit(min(settings.images, len(self._train)), seed)
        found = measure_criticality(
            model,
            sample.images,
            sample.labels,
            CriticalityOptions(
                epsilon=settings.epsilon, steps=settings.steps, step_size=settings.step_size
            ),
            seed=seed,
        )
        return found.top(self._count, among=self._candidates.keys())

    def _draw(self, seed: int) -> tuple[str, ...]:
        names = tuple(self._candidates)
        order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
        return tuple(names[place] for place in order[: self._count].tolist())


def _distance(clean: Tensor, changed: Tensor) -> Tensor:
    """‖F(x + δ) − F(x)‖₂ in the mean over a batch."""
    change = (changed - clean).flatten(1)
    lengths: Tensor = torch.linalg.vector_norm(change, dim=1, dtype=torch.float32)
    return lengths.mean()
