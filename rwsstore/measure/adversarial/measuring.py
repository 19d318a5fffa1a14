"""Attack several models, and try every perturbation on all of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from itertools import product
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from rwsstore.attacks import Attack
from rwsstore.data import ImageSet, check_labels, unit_images
from rwsstore.errors import ConfigError
from rwsstore.files import Results
from rwsstore.measure.accuracy import correct_under, correctness, from_digits, percent, to_digits
from rwsstore.measure.adversarial.report import (
    CLEAN,
    WORST_CASE,
    AdversarialOptions,
    AdversarialReport,
    Budget,
    ComparedAccuracy,
    Masked,
    MeasuredAccuracy,
    ModelUnderAttack,
    Transfer,
    budget_name,
)
from rwsstore.measure.bootstrap import Figure, bootstrap
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
    first, named = models[0], (*attacks, WORST_CASE)

    def compared(name: str, attack: str, epsilon: float) -> ComparedAccuracy:
        figure, base = (
            figures[Tried("" if attack == CLEAN else one, one, attack, epsilon)]
            for one in (name, first)
        )
        gain = None if name == first else figure - base
        return ComparedAccuracy(
            accuracy=figure.value,
            interval=figure.interval,
            gain=gain and gain.value,
            gain_interval=gain and gain.interval,
        )

    def budget(name: str, epsilon: float) -> Budget:
        return Budget(
            epsilon=epsilon,
            attacks={attack: compared(name, attack, epsilon) for attack in attacks},
            worst_case=compared(name, WORST_CASE, epsilon),
        )

    def matrix(attack: str, epsilon: float) -> dict[str, dict[str, MeasuredAccuracy]]:
        found = {
            one: {other: figures[Tried(one, other, attack, epsilon)] for other in models}
            for one in models
        }
        return {
            made_on: {
                tried_on: MeasuredAccuracy(accuracy=figure.value, interval=figure.interval)
                for tried_on, figure in line.items()
            }
            for made_on, line in found.items()
        }

    transfer = [(attack, epsilon) for attack in named for epsilon in options.epsilons]
    return AdversarialReport(
        dataset=images.name,
        images=len(images),
        norm=norm,
        epsilons=options.epsilons,
        attacks={name: dict(settings) for name, settings in attacks.items()},
        seed=options.seed,
        resamples=options.resamples,
        confidence=options.confidence,
        models={
            name: ModelUnderAttack(
                clean=compared(name, CLEAN, 0.0),
                budgets=tuple(budget(name, epsilon) for epsilon in options.epsilons),
            )
            for name in models
        },
        transfer=tuple(
            Transfer(attack=attack, epsilon=epsilon, accuracies=matrix(attack, epsilon))
            for attack, epsilon in (transfer if len(models) > 1 else ())
        ),
        masked=tuple(_masked(figures, models, options.epsilons)),
    )


def _masked(
    figures: Mapping[Tried, Figure], models: Sequence[str], epsilons: Sequence[float]
) -> Iterator[Masked]:
    for model, made_on, epsilon in product(models, models, epsilons):
        white = figures[Tried(model, model, WORST_CASE, epsilon)]
        lost = white - figures[Tried(made_on, model, WORST_CASE, epsilon)]
        interval = lost.interval
        if model != made_on and (lost.value if interval is None else interval.low) > 0:
            yield Masked(
                model=model, made_on=made_on, epsilon=epsilon, points=lost.value, interval=interval
            )


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
        self._norm = _check(models, attacks, images)
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
        settings = {}
        for name, attack in self._named.items():
            fields = asdict(attack) if is_dataclass(attack) else {}
            fields.pop("epsilon", None)  # each budget has its own
            settings[name] = {"kind": attack.name, **fields}
        return assemble(
            figures, tuple(self._models), settings, self._images, self._options, self._norm
        )

    def _batch(self, indices: Tensor, task: Task) -> dict[Tried, Tensor]:
        images, labels = unit_images(self._images.images[indices]), self._images.labels[indices]
        batch = _Batch(images, labels, indices)
        correct = {
            Tried("", name, CLEAN, 0.0): correctness(model, images, labels)
            for name, model in self._models.items()
        }
        for made_on in self._models:
            for (name, epsilon), attack in self._attacks.items():
                right = self._white_box(batch, attack, name, made_on)
                correct[Tried(made_on, made_on, name, epsilon)] = right
                share = percent(right)
                task.advance(note=f"{name} at {budget_name(epsilon)} on {made_on}: {share:.1f} %")
                if len(self._models) > 1:
                    for tried_on, right in self._black_box(batch, attack, name, made_on).items():
                        correct[Tried(made_on, tried_on, name, epsilon)] = right
                    task.advance()
        return correct

    def _white_box(self, batch: "_Batch", attack: Attack, name: str, made_on: str) -> Tensor:
        """Which images of a batch stay right on the model that they were perturbed for."""

        def measure() -> str:
            right = correct_under(
                self._models[made_on], [attack], batch.images, batch.labels,
                seed=self._options.seed, indices=batch.indices, batch_size=len(batch.indices),
            )  # fmt: skip
            return to_digits(right)

        key = f"{batch}, {name} at {attack.epsilon!r} on {made_on}"
        return from_digits(self._results.value(key, measure))

    def _black_box(
        self, batch: "_Batch", attack: Attack, name: str, made_on: str
    ) -> dict[str, Tensor]:
        """Which images stay right on each of the other models.

        What only just fools its own model is easily undone on another: here every image is
        perturbed as far as its loss rises, also one that the model gets wrong.
        """

        def measure() -> dict[str, str]:
            perturbed = attack.perturb(
                self._models[made_on], batch.images, batch.labels, seed=self._options.seed,
                indices=batch.indices, batch_size=len(batch.indices), early_exit=False,
            )  # fmt: skip
            return {
                name: to_digits(correctness(model, perturbed, batch.labels))
                for name, model in self._models.items()
                if name != made_on
            }

        key = f"{batch}, {name} at {attack.epsilon!r} on {made_on}, tried on the others"
        found = self._results.value(key, measure)
        return {other: from_digits(right) for other, right in found.items()}


class _Batch(NamedTuple):
    """Images float32 [B, 3, H, W] in [0, 1], labels int64 [B], places in the data set int64 [B]."""

    images: Tensor
    labels: Tensor
    indices: Tensor

    def __str__(self) -> str:
        return f"images {int(self.indices[0])} to {int(self.indices[-1])}"


def _check(models: Mapping[str, nn.Module], attacks: Mapping[str, Attack], images: ImageSet) -> Any:
    """Refuse what cannot be compared; the norm of all attacks."""
    norms = sorted({attack.norm for attack in attacks.values()})
    if len(norms) != 1:
        found = f"attacks in {' and '.join(norms)}" if norms else "no attack"
        raise ConfigError(f"{found}; expected some, all in one norm")
    if not models:
        raise ConfigError("no model to attack; expected at least one")
    for name in (CLEAN, WORST_CASE):
        if name in attacks:
            raise ConfigError(f"an attack is called {name!r}, which means something else here")
    if "" in models:
        raise ConfigError("a model has no name; expected one for each")
    first = unit_images(images.images[:1])
    classes = {name: check_evaluating(model, first) for name, model in models.items()}
    if len(set(classes.values())) != 1:
        found = ", ".join(f"{name} {count}" for name, count in classes.items())
        raise ConfigError(f"the models have different numbers of classes: {found}")
    check_labels(images.labels, len(images), next(iter(classes.values())))
    return norms[0]
