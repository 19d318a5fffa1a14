"""What an evaluation under attack is made of and found, as it is written in JSON and CSV."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from rwsstore.attacks import Attack, Norm, parse_attack
from rwsstore.config import Frozen
from rwsstore.errors import ConfigError
from rwsstore.measure.bootstrap import Interval, Resampling
from rwsstore.tables import csv_text, ends

DEFAULT_BUDGETS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {"linf": (1 / 255, 2 / 255, 4 / 255, 8 / 255), "l2": (0.125, 0.25, 0.5, 1.0)}
)
"""By norm, for images in [0, 1]; our own choice, up to the customary 8/255."""

_NUMBER = re.compile(r"\d+(\.\d*)?(e-?\d+)?|\.\d+(e-?\d+)?", re.ASCII)


def parse_budgets(text: str) -> tuple[float, ...]:
    """Read `8/255`, `2/255,8/255` or `0.01,0.03`.

    Returns:
        From the smallest to the largest.

    Raises:
        ConfigError: one is no number above 0, or is there twice.
    """
    budgets = sorted(_parse(part.strip()) for part in text.split(","))
    if len(set(budgets)) != len(budgets):
        raise ConfigError(f"epsilon {text!r} names a budget twice")
    return tuple(budgets)


def _parse(text: str) -> float:
    above, slash, below = (part.strip() for part in text.partition("/"))
    numbers = [above, below] if slash else [above]
    if all(len(number) <= 32 and _NUMBER.fullmatch(number) for number in numbers):
        top, bottom = float(above), float(below or 1)
        if bottom > 0 and 0 < top / bottom < math.inf:
            return top / bottom
    raise ConfigError(f"epsilon {text!r}; expected a number above 0, as in 8/255 or 0.03")


def budget_name(epsilon: float) -> str:
    """Write a budget: in 255ths where it is so many, as the number otherwise."""
    steps = round(255 * epsilon)
    if 0 < steps < 255 and math.isclose(255 * epsilon, steps, rel_tol=1e-9):
        return f"{steps}/255"
    return f"{epsilon:.4g}"


STANDARD_ATTACKS = ("fgsm", "pgd10", "pgd20x5", "apgd")
"""FGSM, PGD with 10 steps, PGD with 20 steps and 5 restarts, APGD-CE with 100 steps."""


@dataclass(frozen=True)
class AdversarialOptions:
    """How an evaluation under attack is made.

    Attributes:
        epsilons: budgets, from the smallest to the largest, in units of [0, 1] images.
        seed: of the attacks and of the bootstrap's draws.
        resamples: draws of the images behind the intervals; 0: no intervals.
        confidence: of the intervals, above 0 and below 1.
        batch_size: images that are attacked together, 1 or more; what an interrupted run repeats.

    Raises:
        ConfigError: no budget, one that is not above 0 and finite, or they do not grow; a batch
            size below 1; a seed below 0; resamples or confidence as `Resampling` refuses them.
    """

    epsilons: tuple[float, ...] = DEFAULT_BUDGETS["linf"]
    seed: int = 0
    resamples: int = 1000
    confidence: float = 0.95
    batch_size: int = 250

    def __post_init__(self) -> None:
        usable = all(0 < epsilon < math.inf for epsilon in self.epsilons)
        if not self.epsilons or not usable or sorted(set(self.epsilons)) != list(self.epsilons):
            raise ConfigError(
                f"epsilons are {self.epsilons}; expected numbers above 0, each larger than the "
                "one before"
            )
        if self.batch_size < 1:
            raise ConfigError(f"batch_size is {self.batch_size}; expected 1 or more")
        _ = self.resampling  # refuses what is out of range
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; expected 0 or more")

    @property
    def resampling(self) -> Resampling:
        """How the images are drawn again."""
        return Resampling(self.resamples, self.confidence, self.seed)


def parse_attacks(text: str, epsilon: float, norm: Norm = "linf") -> dict[str, Attack]:
    """Read `fgsm,pgd10,pgd20x5,apgd`, which `standard` stands for.

    Args:
        text: names, as `parse_attack` reads them.
        epsilon: budget of all of them.
        norm: that it is measured in.

    Returns:
        The attacks by name.

    Raises:
        ConfigError: an attack is there twice, or an attack refuses the budget.
        RwsError: as `parse_attack`.
    """
    names = [part.strip() for part in text.split(",")]
    if names == ["standard"]:
        names = list(STANDARD_ATTACKS)
    attacks = {name: parse_attack(name, epsilon, norm) for name in names}
    if len(set(attacks.values())) != len(names):  # pgd is pgd10
        raise ConfigError(f"attacks {text!r} names one twice")
    return attacks


CLEAN, WORST_CASE = "none", "worst case"
"""What stands for an attack where there was none, and where all are taken together."""


class MeasuredAccuracy(Frozen):
    """A share of the images.

    Attributes:
        accuracy: in percent.
        interval: of it; None, as every interval, without resamples.
    """

    accuracy: float
    interval: Interval | None = None


class ComparedAccuracy(MeasuredAccuracy):
    """A share of the images, and how far it is from the first model's.

    Attributes:
        gain: this accuracy − the first model's under the same attack, made on itself, in points;
            None for the first model.
    """

    gain: float | None = None
    gain_interval: Interval | None = None


class Budget(Frozen):
    """One model at one budget, under attacks that were made on it.

    Attributes:
        attacks: accuracy under each attack at just this budget, by name.
        worst_case: share of the images that are right without an attack, and under every attack
            at this budget and at all smaller ones that were tried.
    """

    epsilon: float
    attacks: dict[str, ComparedAccuracy]
    worst_case: ComparedAccuracy


class ModelUnderAttack(Frozen):
    """One model.

    Attributes:
        budgets: from the smallest to the largest.
    """

    clean: ComparedAccuracy
    budgets: tuple[Budget, ...]


class Transfer(Frozen):
    """Perturbations that were made on one model, tried on another.

    Attributes:
        attack: its name, or "worst case", which is counted as in `Budget`.
        accuracies: by the model that they were made on, then by the one that they were tried on;
            on the diagonal the attacks in the white box.
    """

    attack: str
    epsilon: float
    accuracies: dict[str, dict[str, MeasuredAccuracy]]


class Masked(Frozen):
    """Perturbations of another model fool a model more often than those made on itself.

    An attacker who knows the model cannot do worse than one who does not; so the attacks on the
    model itself miss some of what there is, as where gradients are masked, and its accuracy under
    attack is an overestimate.

    Attributes:
        model: that was fooled.
        made_on: the other model.
        points: worst case in the white box − worst case of the other's perturbations.
    """

    model: str
    made_on: str
    epsilon: float
    points: float
    interval: Interval | None = None


class AdversarialReport(Frozen):
    """Accuracy under attack, of one model or several.

    Attributes:
        resamples: draws of the images behind the intervals; 0: there are none.
        models: by name; the first is the one that the others are compared with.
        transfer: for every attack and for the worst case, at every budget; empty for one model.
        masked: where another model's perturbations did better than a model's own, beyond the
            interval, or at all where there are no intervals.
    """

    dataset: str
    images: int
    norm: Literal["linf", "l2"]
    epsilons: tuple[float, ...]
    attacks: dict[str, dict[str, Any]]
    seed: int
    resamples: int
    confidence: float
    models: dict[str, ModelUnderAttack]
    transfer: tuple[Transfer, ...] = ()
    masked: tuple[Masked, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return self.model_dump(mode="json")

    def to_csv(self) -> str:
        """One row for each accuracy; what is not there leaves its cells empty."""
        return csv_text(_COLUMNS, self._rows())

    def _rows(self) -> Iterator[tuple[object, ...]]:
        for name, model in self.models.items():
            yield "", name, CLEAN, 0.0, *_cells(model.clean)
            for budget in model.budgets:
                for attack, found in {**budget.attacks, WORST_CASE: budget.worst_case}.items():
                    yield name, name, attack, budget.epsilon, *_cells(found)
        for matrix in self.transfer:
            for made_on, line in matrix.accuracies.items():
                for tried_on, other in line.items():
                    if made_on != tried_on:
                        yield made_on, tried_on, matrix.attack, matrix.epsilon, *_cells(other)


_COLUMNS = (
    "made_on tried_on attack epsilon:.6g accuracy:.3f low:.3f high:.3f gain:.3f gain_low:.3f "
    "gain_high:.3f"
)


def _cells(found: MeasuredAccuracy) -> tuple[float | None, ...]:
    gain, interval = (
        (found.gain, found.gain_interval) if isinstance(found, ComparedAccuracy) else (None, None)
    )
    return found.accuracy, *ends(found.interval), gain, *ends(interval)
