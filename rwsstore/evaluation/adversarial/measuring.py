"""Attack several models, and try every perturbation on all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from rwsstore.attacks import Attack
from rwsstore.data import ImageSet, check_labels, unit_images
from rwsstore.errors import ConfigError
from rwsstore.evaluation.accuracy import correctness
from rwsstore.evaluation.adversarial.report import (
    CLEAN,
    WORST_CASE,
    AdversarialOptions,
    AdversarialReport,
    Budget,
    Compared,
    Masked,
    Measured,
    ModelUnderAttack,
    Transfer,
    budget_name,
)
from rwsstore.evaluation.bootstrap import Figure, bootstrap
from rwsstore.files import Results
from rwsstore.models import check_evaluating
from rwsstore.progress import SILENT, Reporter, Task


class Tried(NamedTuple):
    """Which perturbations were tried on which model.

    Attributes:
        made_on: the model that they were made on; "" where there is no attack.
        tried_on: the model.
        attack: its name, `CLEAN` or `WORST_CASE`.
        epsilon: its budget; 0 where there is no attack.
    """

    made_on: str
    tried_on: str
    attack: str
    epsilon: float


def with_worst_case(
    correct: Mapping[Tried, Tensor], attacks: Sequence[str], epsilons: Sequence[float]
) -> dict[Tried, Tensor]:
    """Add the worst case: an image stays right if nothing inside the budget fooled the model.

    No perturbation, and those inside smaller budgets, lie inside a larger one too, so what they
    fooled counts there as well; the worst case therefore never rises with the budget.

    Args:
        correct: which images stayed right, bool [N] each.
        attacks: their names.
        epsilons: the budgets, from the smallest to the largest.
    """
    found = dict(correct)
    pairs = {(what.made_on, what.tried_on) for what in correct if what.attack != CLEAN}
    for made_on, tried_on in sorted(pairs):
        right = correct[Tried("", tried_on, CLEAN, 0.0)]
        for epsilon in epsilons:
            for attack in attacks:
                right = right & correct[Tried(made_on, tried_on, attack, epsilon)]
            found[Tried(made_on, tried_on, WORST_CASE, epsilon)] = right
    return found


def assemble(
    figures: Mapping[Tried, Figure],
    models: Sequence[str],
    attacks: Mapping[str, Mapping[str, Any]],
    images: ImageSet,
    options: AdversarialOptions,
    norm: Literal["linf", "l2"],
) -> AdversarialReport:
    """Put a report together.

    Args:
        figures: accuracies in percent, the worst case among them.
        models: their names.
        attacks: settings by name.
        images: that were attacked.
        options: of the evaluation.
        norm: of the budgets.
    """
    parts = _Assembly(figures, models, (*attacks, WORST_CASE), options.epsilons)
    return AdversarialReport(
        dataset=images.name,
        images=len(images),
        norm=norm,
        epsilons=options.epsilons,
        attacks={name: dict(settings) for name, settings in attacks.items()},
        seed=options.seed,
        resamples=options.resamples,
        confidence=options.confidence,
        models={name: parts.model(name) for name in models},
        transfer=parts.transfer(),
        masked=parts.masked(),
    )


class _Assembly:
    def __init__(
        self,
        figures: Mapping[Tried, Figure],
        models: Sequence[str],
        attacks: Sequence[str],
        epsilons: Sequence[float],
    ) -> None:
        self._figures, self._models, self._epsilons = figures, models, epsilons
        self._attacks = attacks

    def model(self, name: str) -> ModelUnderAttack:
        return ModelUnderAttack(
            clean=self._compared(name, CLEAN, 0.0),
            budgets=tuple(self._budget(name, epsilon) for epsilon in self._epsilons),
        )

    def transfer(self) -> tuple[Transfer, ...]:
        if len(self._models) == 1:
            return ()
        return tuple(
            Transfer(attack=attack, epsilon=epsilon, accuracies=self._matrix(attack, epsilon))
            for attack in self._attacks
            for epsilon in self._epsilons
        )

    def masked(self) -> tuple[Masked, ...]:
        pairs = [(one, other) for one in self._models for other in self._models if one != other]
        found = []
        for model, made_on in pairs:
            for epsilon in self._epsilons:
                white = self._figures[Tried(model, model, WORST_CASE, epsilon)]
                lost = white - self._figures[Tried(made_on, model, WORST_CASE, epsilon)]
                least = lost.value if lost.interval is None else lost.interval.low
                if least > 0:
                    found.append(
                        Masked(
                            model=model, made_on=made_on, epsilon=epsilon, points=lost.value,
                            interval=lost.interval,
                        )
                    )  # fmt: skip
        return tuple(found)

    def _budget(self, name: str, epsilon: float) -> Budget:
        *attacks, worst = self._attacks
        return Budget(
            epsilon=epsilon,
            attacks={attack: self._compared(name, attack, epsilon) for attack in attacks},
            worst_case=self._compared(name, worst, epsilon),
        )

    def _matrix(self, attack: str, epsilon: float) -> dict[str, dict[str, Measured]]:
        return {
            made_on: {
                tried_on: _measured(self._figures[Tried(made_on, tried_on, attack, epsilon)])
                for tried_on in self._models
            }
            for made_on in self._models
        }

    def _compared(self, name: str, attack: str, epsilon: float) -> Compared:
        figure, first = self._own(name, attack, epsilon), self._models[0]
        gain = None if name == first else figure - self._own(first, attack, epsilon)
        return Compared(
            accuracy=figure.value,
            interval=figure.interval,
            gain=None if gain is None else gain.value,
            gain_interval=None if gain is None else gain.interval,
        )

    def _own(self, name: str, attack: str, epsilon: float) -> Figure:
        return self._figures[Tried("" if attack == CLEAN else name, name, attack, epsilon)]


def _measured(figure: Figure) -> Measured:
    return Measured(accuracy=figure.value, interval=figure.interval)


def evaluate_attacks(
    models: Mapping[str, nn.Module],
    attacks: Mapping[str, Attack],
    images: ImageSet,
    options: AdversarialOptions | None = None,
    *,
    results: Results | None = None,
    progress: Reporter = SILENT,
) -> AdversarialReport:
    """Measure accuracy under attack, in the white box and from each model to each other.

    Every attack is made on every model at every budget. In the white box an image is left alone
    once its model gets it wrong. What is tried on the other models is made anew without leaving
    early, so that the loss of each image is as high as the attack could drive it. The same images,
    seeds and draws serve all of them.

    Args:
        models: by name, at least one; in evaluation mode, images [B, 3, H, W] in [0, 1] to logits
            [B, C]. The first is the one that the others are compared with. None is changed.
        attacks: by name, all in one norm; their own budgets are replaced by those of the options.
        images: labelled test images.
        options: budgets, seed, resamples.
        results: where an interrupted run finds what it had measured. What identifies them must
            cover models, attacks, images and options.
        progress: where to report.

    Raises:
        ConfigError: no model or no attack, attacks in different norms, models with different
            numbers of classes, a name that means something else here, or a model that is in
            training mode or cannot be run.
        DataError: a label that the models have no output for.
        TensorError: a model gives NaN or infinite logits.
    """
    chosen = options or AdversarialOptions()
    kept = Results(None, {}) if results is None else results
    return _Measuring(models, attacks, images, chosen, kept).run(progress)


class _Measuring:
    def __init__(
        self,
        models: Mapping[str, nn.Module],
        attacks: Mapping[str, Attack],
        images: ImageSet,
        options: AdversarialOptions,
        results: Results,
    ) -> None:
        self._norm = _one_norm(attacks)
        _check_names(models, attacks)
        _check_models(models, images)
        self._models, self._images, self._options = dict(models), images, options
        self._named, self._results = dict(attacks), results
        self._attacks = {  # so that a budget is refused before anything is measured
            (name, epsilon): attack.with_epsilon(epsilon)
            for name, attack in attacks.items()
            for epsilon in options.epsilons
        }

    def run(self, progress: Reporter) -> AdversarialReport:
        """Go through the images a batch at a time, so that the bar moves evenly."""
        size, parts = self._options.batch_size, []
        starts = range(0, len(self._images), size)
        boxes = 1 if len(self._models) == 1 else 2  # the white one, and the black one
        total = len(starts) * len(self._models) * len(self._attacks) * boxes
        with progress.task("attacking", total=total) as task:
            for start in starts:
                stop = min(start + size, len(self._images))
                parts.append(self._batch(torch.arange(start, stop), task))
        correct = {what: torch.cat([part[what] for part in parts]) for what in parts[0]}
        figures = bootstrap(
            with_worst_case(correct, tuple(self._named), self._options.epsilons),
            self._options.resampling,
        )
        settings = {name: _settings(attack) for name, attack in self._named.items()}
        return assemble(
            figures, tuple(self._models), settings, self._images, self._options, self._norm
        )

    def _batch(self, indices: Tensor, task: Task) -> dict[Tried, Tensor]:
        batch = _Batch(
            unit_images(self._images.images[indices]), self._images.labels[indices], indices
        )
        correct = {
            Tried("", name, CLEAN, 0.0): correctness(model, batch.images, batch.labels)
            for name, model in self._models.items()
        }
        for made_on in self._models:
            for (name, epsilon), attack in self._attacks.items():
                right = self._white_box(batch, attack, name, made_on)
                correct[Tried(made_on, made_on, name, epsilon)] = right
                share = 100 * float(right.double().mean())
                task.advance(note=f"{name} at {budget_name(epsilon)} on {made_on}: {share:.1f} %")
                if len(self._models) > 1:
                    for tried_on, right in self._black_box(batch, attack, name, made_on).items():
                        correct[Tried(made_on, tried_on, name, epsilon)] = right
                    task.advance()
        return correct

    def _white_box(self, batch: "_Batch", attack: Attack, name: str, made_on: str) -> Tensor:
        """Which images of a batch stay right on the model that they were perturbed for."""

        def measure() -> str:
            return self._try(self._perturb(batch, attack, made_on, early_exit=True), batch, made_on)

        key = f"{batch}, {name} at {attack.epsilon!r} on {made_on}"
        return _read(self._results.value(key, measure))

    def _black_box(
        self, batch: "_Batch", attack: Attack, name: str, made_on: str
    ) -> dict[str, Tensor]:
        """Which images stay right on each of the other models.

        What only just fools its own model is easily undone on another: here every image is
        perturbed as far as its loss rises, also one that the model gets wrong.
        """

        def measure() -> dict[str, str]:
            perturbed = self._perturb(batch, attack, made_on, early_exit=False)
            others = [other for other in self._models if other != made_on]
            return {other: self._try(perturbed, batch, other) for other in others}

        key = f"{batch}, {name} at {attack.epsilon!r} on {made_on}, tried on the others"
        found = self._results.value(key, measure)
        return {other: _read(right) for other, right in found.items()}

    def _perturb(
        self, batch: "_Batch", attack: Attack, made_on: str, *, early_exit: bool
    ) -> Tensor:
        return attack.perturb(
            self._models[made_on],
            batch.images,
            batch.labels,
            seed=self._options.seed,
            indices=batch.indices,
            batch_size=len(batch.indices),
            early_exit=early_exit,
        )

    def _try(self, perturbed: Tensor, batch: "_Batch", name: str) -> str:
        """A 1 for each image that the model gets right, a 0 for each other one."""
        right = correctness(self._models[name], perturbed, batch.labels)
        return "".join("01"[one] for one in right.tolist())


class _Batch(NamedTuple):
    """Images float32 [B, 3, H, W] in [0, 1], labels int64 [B], places in the data set int64 [B]."""

    images: Tensor
    labels: Tensor
    indices: Tensor

    def __str__(self) -> str:
        return f"images {int(self.indices[0])} to {int(self.indices[-1])}"


def _read(right: str) -> Tensor:
    return torch.tensor([one == "1" for one in right])


def _settings(attack: Attack) -> dict[str, Any]:
    """What an attack is, but for its budget."""
    fields = asdict(attack) if is_dataclass(attack) else {}
    return {"kind": attack.name, **{key: fields[key] for key in fields if key != "epsilon"}}


def _one_norm(attacks: Mapping[str, Attack]) -> Any:
    norms = sorted({attack.norm for attack in attacks.values()})
    if len(norms) != 1:
        found = f"attacks in {' and '.join(norms)}" if norms else "no attack"
        raise ConfigError(f"{found}; expected some, all in one norm")
    return norms[0]


def _check_names(models: Mapping[str, nn.Module], attacks: Mapping[str, Attack]) -> None:
    if not models:
        raise ConfigError("no model to attack; expected at least one")
    for name in (CLEAN, WORST_CASE):
        if name in attacks:
            raise ConfigError(f"an attack is called {name!r}, which means something else here")
    if "" in models:
        raise ConfigError("a model has no name; expected one for each")


def _check_models(models: Mapping[str, nn.Module], images: ImageSet) -> None:
    first = unit_images(images.images[:1])
    classes = {name: check_evaluating(model, first) for name, model in models.items()}
    if len(set(classes.values())) != 1:
        found = ", ".join(f"{name} {count}" for name, count in classes.items())
        raise ConfigError(f"the models have different numbers of classes: {found}")
    check_labels(images.labels, len(images), next(iter(classes.values())))
