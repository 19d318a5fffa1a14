"""Attack several models, and try every perturbation on all of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from rwsstore.attacks import Attack
from rwsstore.data import ImageSet, check_labels, unit_images
from rwsstore.errors import ConfigError
from rwsstore.files import Results
from rwsstore.measure.accuracy import correct_under, correctness, from_digits, percent, to_digits
from rwsstore.measure.adversarial import report
from rwsstore.measure.grid import Grid
from rwsstore.models import check_evaluating
from rwsstore.progress import SILENT, Reporter, Task

AttackGrid = Grid[tuple[str, str], tuple[str, float]]
"""By the model that perturbations are made on ("": there are none) and the one that they are tried
on; by the attack and its budget."""

NO_ATTACK = (report.CLEAN, 0.0)


def add_worst_case(
    grid: AttackGrid, models: Iterable[str], attacks: Sequence[str], epsilons: Sequence[float]
) -> None:
    """Add the worst case: an image stays right if nothing inside the budget fooled the model.

    No perturbation, and those inside smaller budgets, lie inside a larger one too, so what they
    fooled counts there as well; the worst case therefore never rises with the budget.

    Args:
        grid: has every model under every attack.
        models: their names.
        attacks: their names.
        epsilons: the budgets, from the smallest to the largest.
    """
    for made_on, tried_on in product(models, repeat=2):
        right = grid.right(("", tried_on), [NO_ATTACK])
        for epsilon in epsilons:
            each = [(attack, epsilon) for attack in attacks]
            right = right & grid.right((made_on, tried_on), each)
            grid.put((made_on, tried_on), (report.WORST_CASE, epsilon), right)


def evaluate_attacks(
    models: Mapping[str, nn.Module],
    attacks: Mapping[str, Attack],
    images: ImageSet,
    options: report.AdversarialOptions | None = None,
    *,
    results: Results | None = None,
    progress: Reporter = SILENT,
) -> report.AdversarialReport:
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
    chosen = options or report.AdversarialOptions()
    grid = attack_grid(models, attacks, images, chosen, results=results, progress=progress)
    settings = {}
    for name, attack in attacks.items():
        fields = asdict(attack) if is_dataclass(attack) else {}
        fields.pop("epsilon", None)  # each budget has its own
        settings[name] = {"kind": attack.name, **fields}
    return report.AdversarialReport(
        dataset=images.name,
        images=len(images),
        norm=next(iter(attacks.values())).norm,
        epsilons=chosen.epsilons,
        attacks=settings,
        seed=chosen.seed,
        resamples=chosen.resamples,
        confidence=chosen.confidence,
        models={
            name: report.ModelUnderAttack(
                clean=_compared(grid, models, name, NO_ATTACK),
                budgets=tuple(
                    report.Budget(
                        epsilon=epsilon,
                        attacks={
                            attack: _compared(grid, models, name, (attack, epsilon))
                            for attack in attacks
                        },
                        worst_case=_compared(grid, models, name, (report.WORST_CASE, epsilon)),
                    )
                    for epsilon in chosen.epsilons
                ),
            )
            for name in models
        },
        transfer=tuple(_transfers(grid, models, (*attacks, report.WORST_CASE), chosen.epsilons)),
        masked=tuple(_masked(grid, models, chosen.epsilons)),
    )


def _compared(
    grid: AttackGrid, models: Iterable[str], name: str, attack: tuple[str, float]
) -> report.ComparedAccuracy:
    """A model in the white box, against the first one."""
    first, *_ = models
    figure, base = (
        grid.accuracy(("" if attack == NO_ATTACK else one, one), attack) for one in (name, first)
    )
    gain = None if name == first else figure - base
    return report.ComparedAccuracy(
        accuracy=figure.value,
        interval=figure.interval,
        gain=gain and gain.value,
        gain_interval=gain and gain.interval,
    )


def _transfers(
    grid: AttackGrid, models: Mapping[str, nn.Module], attacks: Iterable[str],
    epsilons: Iterable[float],
) -> Iterator[report.Transfer]:  # fmt: skip
    for attack, epsilon in product(attacks, epsilons) if len(models) > 1 else ():
        accuracies: dict[str, dict[str, report.MeasuredAccuracy]] = {name: {} for name in models}
        for made_on, tried_on in product(models, repeat=2):
            figure = grid.accuracy((made_on, tried_on), (attack, epsilon))
            found = report.MeasuredAccuracy(accuracy=figure.value, interval=figure.interval)
            accuracies[made_on][tried_on] = found
        yield report.Transfer(attack=attack, epsilon=epsilon, accuracies=accuracies)


def _masked(
    grid: AttackGrid, models: Iterable[str], epsilons: Iterable[float]
) -> Iterator[report.Masked]:
    for model, made_on, epsilon in product(models, models, epsilons):
        white, black = (
            grid.accuracy((one, model), (report.WORST_CASE, epsilon)) for one in (model, made_on)
        )
        lost = white - black
        interval = lost.interval
        if model != made_on and (lost.value if interval is None else interval.low) > 0:
            yield report.Masked(
                model=model, made_on=made_on, epsilon=epsilon, points=lost.value, interval=interval
            )


def attack_grid(
    models: Mapping[str, nn.Module],
    attacks: Mapping[str, Attack],
    images: ImageSet,
    options: report.AdversarialOptions,
    *,
    results: Results | None = None,
    progress: Reporter = SILENT,
) -> AttackGrid:
    """Measure every model under every attack, made on itself and on the others, and the worst case.

    Arguments and errors are those of `evaluate_attacks`.
    """
    _check(models, attacks, images)
    kept = Results(None, {}) if results is None else results
    budgets = {  # so that one is refused before anything is measured
        (name, epsilon): attack.with_epsilon(epsilon)
        for name, attack in attacks.items()
        for epsilon in options.epsilons
    }
    measuring = _Measuring(models, budgets, images, options, kept)
    parts = torch.split(torch.arange(len(images)), options.batch_size)
    boxes = 1 if len(models) == 1 else 2  # the white one, and the black one
    total = len(parts) * len(models) * len(budgets) * boxes
    with progress.task("attacking", total=total) as task:
        # A batch at a time, so that the bar moves evenly.
        found = [measuring.batch(indices, task) for indices in parts]
    grid: AttackGrid = Grid(options.resampling)
    for cell in found[0]:
        grid.put(*cell, torch.cat([part[cell] for part in found]))
    add_worst_case(grid, models, tuple(attacks), options.epsilons)
    return grid


@dataclass(frozen=True)
class _Measuring:
    models: Mapping[str, nn.Module]
    attacks: Mapping[tuple[str, float], Attack]
    images: ImageSet
    options: report.AdversarialOptions
    results: Results

    def batch(
        self, indices: Tensor, task: Task
    ) -> dict[tuple[tuple[str, str], tuple[str, float]], Tensor]:
        images, labels = unit_images(self.images.images[indices]), self.images.labels[indices]
        which = f"images {int(indices[0])} to {int(indices[-1])}"  # in keys of interrupted runs
        right = {}
        for name, model in self.models.items():

            def clean(model: nn.Module = model) -> str:
                return to_digits(correctness(model, images, labels))

            digits = self.results.value(f"{which}, no attack on {name}", clean)
            right[("", name), NO_ATTACK] = from_digits(digits)
        shown: dict[str, Any] = {
            "indices": indices,
            "seed": self.options.seed,
            "batch_size": len(indices),
        }
        for (made_on, model), (what, attack) in product(self.models.items(), self.attacks.items()):
            key = f"{which}, {what[0]} at {attack.epsilon!r} on {made_on}"

            def white_box(attack: Attack = attack, model: nn.Module = model) -> str:
                return to_digits(correct_under(model, [attack], images, labels, **shown))

            def black_box(
                attack: Attack = attack, model: nn.Module = model, made_on: str = made_on
            ) -> dict[str, str]:
                # What only just fools its own model is easily undone on another: every image is
                # perturbed as far as its loss rises, also one that the model gets wrong.
                changed = attack.perturb(model, images, labels, early_exit=False, **shown)
                return {
                    name: to_digits(correctness(other, changed, labels))
                    for name, other in self.models.items()
                    if name != made_on
                }

            white = from_digits(self.results.value(key, white_box))
            right[(made_on, made_on), what] = white
            budget = report.budget_name(attack.epsilon)
            task.advance(note=f"{what[0]} at {budget} on {made_on}: {percent(white):.1f} %")
            if len(self.models) > 1:
                others = self.results.value(f"{key}, tried on the others", black_box)
                for tried_on, digits in others.items():
                    right[(made_on, tried_on), what] = from_digits(digits)
                task.advance()
        return right


def _check(
    models: Mapping[str, nn.Module], attacks: Mapping[str, Attack], images: ImageSet
) -> None:
    """Refuse what cannot be compared."""
    norms = sorted({attack.norm for attack in attacks.values()})
    if len(norms) != 1:
        found = f"attacks in {' and '.join(norms)}" if norms else "no attack"
        raise ConfigError(f"{found}; expected some, all in one norm")
    if not models:
        raise ConfigError("no model to attack; expected at least one")
    for name in (report.CLEAN, report.WORST_CASE):
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
