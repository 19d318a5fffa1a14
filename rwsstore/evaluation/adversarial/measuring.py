"""Attack several models, and try every perturbation on all of them."""

__all__ = ["evaluate_attacks"]

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rwsstore.attacks import Attack
from rwsstore.data import ImageSet, check_labels, unit_images
from rwsstore.errors import ConfigError
from rwsstore.evaluation.accuracy import correctness
from rwsstore.evaluation.adversarial.assembly import Tried, assemble, with_worst_case
from rwsstore.evaluation.adversarial.budgets import budget_name
from rwsstore.evaluation.adversarial.options import AdversarialOptions
from rwsstore.evaluation.adversarial.report import CLEAN, WORST_CASE, AdversarialReport
from rwsstore.evaluation.bootstrap import bootstrap
from rwsstore.files import Results
from rwsstore.models import check_evaluating
from rwsstore.progress import SILENT, Reporter, Task


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
