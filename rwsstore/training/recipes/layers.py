"""Training of some layers alone: those that filtering found, and the most critical ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import Field, field_validator

from rwsstore import attacks, data, measure, models
from rwsstore.config import Frozen
from rwsstore.errors import ConfigError
from rwsstore.faces import later
from rwsstore.probes import criticality, filtering
from rwsstore.training.config import TrainingConfig
from rwsstore.training.recipes import adversarial, base

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

else:
    torch = later("torch")

_Filter = Literal["h1", "h2", "h3"]


_LayerKind = Literal["fragile", "robust", "antifragile"]


class SelectiveOptions(base.RecipeOptions):
    """Which layers train, and how they are found.

    Attributes:
        score: the score that decides: s1 on clean images, s2 under FGSM, s3 their difference.
        tolerance: a score of at most so much to either side of 0 is robust.
        every: epochs from one scoring to the next; the first is before the first epoch.
        images: training images that they are scored on, drawn anew each time, as many of each
            class.
        thresholds: for each layer and filter, odd, 3 or more.
        attack_epsilon: ε of FGSM, in units of [0, 1] images.
    """

    train: Annotated[
        tuple[_LayerKind, ...], Field(min_length=1, description="kinds of layers that train")
    ] = ("robust", "antifragile")
    filters: Annotated[
        tuple[_Filter, ...], Field(min_length=1, description="filters whose mean score decides")
    ] = get_args(_Filter)
    score: Annotated[Literal["s1", "s2", "s3"], Field(description="score that decides")] = "s2"
    tolerance: Annotated[float, Field(ge=0, description="how far from 0 is robust")] = 0.1
    above_chance: Annotated[bool, Field(description="normalise above chance")] = True
    every: Annotated[int, Field(ge=1, description="epochs between scorings")] = 2
    images: Annotated[int, Field(ge=1, description="training images scored on")] = 100
    thresholds: Annotated[int, Field(ge=3, description="odd; per filter")] = 13
    attack_epsilon: Annotated[float, Field(gt=0, le=1, description="ε of FGSM")] = 0.015

    @field_validator("thresholds")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("must be odd, for Simpson's rule")
        return value

    @field_validator("filters", "train")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("names one twice")
        return value


@base.recipe
class SelectiveRecipe(base.WeightRecipe):
    """Each epoch updates the robust and the antifragile layers only (Pravin et al., 2023).

    The layers are scored on a sample of the training images, by default again every second epoch.
    That the mean of S2 over the three filters decides, and the scoring again, are our own choice.
    """

    name = "selective"
    kind = "selective"
    Options = SelectiveOptions
    settings: SelectiveOptions

    def __init__(self, options: base.RecipeOptions | None = None) -> None:
        super().__init__(options)
        self._active: frozenset[str] | None = None

    def begin_epoch(self, model: nn.Module, train: data.ImageSet, epoch: int, seed: int) -> None:
        """Score the layers, where it is time to, and choose.

        Raises:
            ConfigError: no layer is of the kinds that train.
            DataError: labels that do not fit the model.
        """
        if self._active is not None and (epoch - 1) % self.settings.every:
            return
        settings = self.settings
        images = train.limit(min(settings.images, len(train)), seed)
        measuring = filtering.FilteringOptions(
            epsilon=settings.attack_epsilon,
            filters=settings.filters,
            thresholds=settings.thresholds,
        )
        scoring = filtering.ScoringOptions(
            above_chance=settings.above_chance,
            tolerance=settings.tolerance,
            decides=settings.score,
            resampling=measure.Resampling(resamples=0),
        )
        curves = filtering.measure_curves(
            model, images.images, images.labels, measuring, layers=settings.layers
        )
        scores = filtering.score_layers(curves, scoring)
        owned = filtering.parameters_of(model, curves.layers)
        chosen = [one.layer for one in scores if one.kind in settings.train]
        if not chosen:
            raise ConfigError(_nothing(scores, settings, epoch))
        self._active = frozenset(name for layer in chosen for name in owned[layer])

    def active(self, model: nn.Module) -> frozenset[str]:
        """Weight, bias and following normalization of the layers that were chosen last."""
        trainable = self.trainable(model)
        return trainable if self._active is None else trainable & self._active

    def state(self) -> dict[str, Any]:
        """The choice, for the epochs until the next."""
        return {} if self._active is None else {"active": sorted(self._active)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take the choice up again."""
        self._active = frozenset(state["active"]) if "active" in state else None


def _nothing(
    scores: tuple[filtering.LayerScores, ...], settings: SelectiveOptions, epoch: int
) -> str:
    figures = [one.mean[settings.score] for one in scores]
    values = [figure.value for figure in figures if figure is not None]
    found = "none of them is defined: the network is no better than chance on these images"
    if values:
        found = f"they run from {min(values):.2f} to {max(values):.2f}"
    return (
        f"recipe selective has no {' or '.join(settings.train)} layer to train in epoch {epoch}: "
        f"of {settings.score.upper()} over {', '.join(settings.filters)}, {found}, and the "
        f"tolerance is {settings.tolerance:g}. Take another tolerance, score or attack_epsilon"
    )


class ClatOptions(adversarial.AdversarialTrainingOptions):
    """What is fine-tuned, and towards what.

    Attributes:
        k: layers that train at a time; None for a twentieth of them, at least 1.
        every: epochs from one selection to the next; None: the first one stays.
        images: drawn anew each time.
        fast: one step of 1.25·ε in the inner maximization; `steps` and `step_size` do not count.
        perturbed: share of the cross-entropy that is taken at x + δ; 0 in the paper.
        inner: what δ raises: the change of the critical layers' features, as in the paper, or the
            loss, as in PGD-AT.
    """

    strength: Annotated[float, Field(ge=0, description="λ, weight of the features' change")] = 0.01
    k: Annotated[base.Count | None, Field(description="layers that train at a time; none: 5 %")] = (
        None
    )
    every: Annotated[
        base.Count | None, Field(description="epochs until the next selection; none: never")
    ] = 10
    every_steps: Annotated[
        base.Count | None, Field(description="steps until the next selection, instead")
    ] = None
    select: Annotated[
        Literal["critical", "random"], Field(description="critical layers, or random ones")
    ] = "critical"
    images: Annotated[
        int, Field(ge=1, description="training images that criticality is measured on")
    ] = 100
    fast: Annotated[bool, Field(description="attack in one step of 1.25·ε")] = False
    perturbed: Annotated[
        float,
        Field(ge=0, le=1, description="share of the cross-entropy that is of attacked images"),
    ] = 0.0
    inner: Annotated[
        Literal["features", "loss"], Field(description="what the attack raises: features or loss")
    ] = "features"


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


@base.recipe
class ClatRecipe(adversarial.AdversarialRecipe, base.WeightRecipe):
    """CLAT: CE(x) + λ·Σ_{i∈S} ‖F_i(x + δ) − F_i(x)‖₂ over the critical layers S (equation 9).

    Only the convolutions of S train: weight, and bias where there is one. S is chosen again in
    intervals; a layer that is chosen again goes on with the momentum that it had. δ raises the sum
    by projected ascent from a random start, anew in each step. Validation under attack,
    `perturbed`, `inner` and `every_steps` are our own; so is that a layer is chosen by one attack
    on `images` of the training images.
    """

    name = "clat"
    kind = "clat"
    Options = ClatOptions
    defaults = TrainingConfig(epochs=20, learning_rate=0.02, clip_norm=1.0)
    settings: ClatOptions

    def __init__(self, options: base.RecipeOptions | None = None) -> None:
        super().__init__(options)
        self._train: data.ImageSet | None = None
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
        allowed, convolutions = super().trainable(model), models.main_path_convolutions(model)
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
        self._count = self.settings.k or min(
            criticality.default_count(len(convolutions)), len(found)
        )
        return frozenset(name for names in found.values() for name in names)

    def begin_epoch(self, model: nn.Module, train: data.ImageSet, epoch: int, seed: int) -> None:
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
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        try:
            self._select(model, seed, step)
        finally:
            for module, training in modes:
                module.training = training
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
        settings, units = self.settings, data.unit_images(images)
        layers = self._selections[-1].layers
        ascent = self._ascent()
        if settings.inner == "loss":
            attacked = attacks.ascend_loss(model, units, labels, **ascent)
        else:
            attacked = attacks.ascend_features(model, layers, units, **ascent)
        logits, outputs = attacks.layer_outputs(model, layers, torch.cat([units, attacked]))
        moved = torch.zeros(())
        for output in outputs:
            before, after = output.chunk(2)
            change = (after - before).flatten(1)  # F(x + δ) − F(x)
            moved = moved + torch.linalg.vector_norm(change, dim=1, dtype=torch.float32).mean()
        clean, changed = logits.float().chunk(2)
        task = torch.nn.functional.cross_entropy(clean, labels, label_smoothing=smoothing)
        if settings.perturbed:
            there = torch.nn.functional.cross_entropy(changed, labels, label_smoothing=smoothing)
            task = torch.lerp(task, there, settings.perturbed)
        self._terms.add(len(units), cross_entropy=task, features=moved)
        return task + settings.strength * moved

    def _ascent(self) -> dict[str, Any]:
        """That of the settings, or a single step of fast adversarial training."""
        usual = super()._ascent()
        if not self.settings.fast:
            return usual
        return {**usual, "steps": 1, "step_size": adversarial.FAST_STEP * self.settings.epsilon}

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
        if self.settings.select == "random":
            names, generator = tuple(self._candidates), torch.Generator().manual_seed(seed)
            order = torch.randperm(len(names), generator=generator)
            layers = tuple(names[place] for place in order[: self._count].tolist())
        else:
            layers = self._rank(model, seed)
        sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
        trained = sum(sizes[name] for layer in layers for name in self._candidates[layer])
        first = self._steps if step is None else step
        chosen = Selection(step=first, layers=layers, share=trained / sum(sizes.values()))
        self._selections = (*self._selections, chosen)

    def _rank(self, model: nn.Module, seed: int) -> tuple[str, ...]:
        assert self._train is not None  # noqa: S101  (begin_epoch comes first)
        settings = self.settings
        sample = self._train.limit(min(settings.images, len(self._train)), seed)
        found = criticality.measure_criticality(
            model,
            sample.images,
            sample.labels,
            criticality.CriticalityOptions(
                epsilon=settings.epsilon, steps=settings.steps, step_size=settings.step_size
            ),
            seed=seed,
        )
        return found.top(self._count, among=self._candidates.keys())
