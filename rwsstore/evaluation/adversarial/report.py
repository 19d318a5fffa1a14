"""What an evaluation under attack found, as it is written in JSON and CSV."""

__all__ = [
    "CLEAN",
    "WORST_CASE",
    "AdversarialReport",
    "Budget",
    "Compared",
    "Masked",
    "Measured",
    "ModelUnderAttack",
    "Transfer",
]

from collections.abc import Iterator
from typing import Any, Literal

from rwsstore.evaluation.bootstrap import Interval
from rwsstore.evaluation.writing import Frozen, csv_text, ends

CLEAN, WORST_CASE = "none", "worst case"
"""What stands for an attack where there was none, and where all are taken together."""


class Measured(Frozen):
    """A share of the images.

    Attributes:
        accuracy: in percent.
        interval: of it; None, as every interval, without resamples.
    """

    accuracy: float
    interval: Interval | None = None


class Compared(Measured):
    """A share of the images, and how far it is from the first model's.

    Attributes:
        gain: this accuracy − the first model's under the same attack, made on itself, in points;
            None for the first model.
        gain_interval: of that, on the same draws of the images.
    """

    gain: float | None = None
    gain_interval: Interval | None = None


class Budget(Frozen):
    """One model at one budget, under attacks that were made on it.

    Attributes:
        epsilon: the budget.
        attacks: accuracy under each attack at just this budget, by name.
        worst_case: share of the images that are right without an attack, and under every attack
            at this budget and at all smaller ones that were tried.
    """

    epsilon: float
    attacks: dict[str, Compared]
    worst_case: Compared


class ModelUnderAttack(Frozen):
    """One model.

    Attributes:
        clean: accuracy without an attack.
        budgets: from the smallest to the largest.
    """

    clean: Compared
    budgets: tuple[Budget, ...]


class Transfer(Frozen):
    """Perturbations that were made on one model, tried on another.

    Attributes:
        attack: its name, or "worst case", which is counted as in `Budget`.
        epsilon: the budget.
        accuracies: by the model that they were made on, then by the one that they were tried on;
            on the diagonal the attacks in the white box.
    """

    attack: str
    epsilon: float
    accuracies: dict[str, dict[str, Measured]]


class Masked(Frozen):
    """Perturbations of another model fool a model more often than those made on itself.

    An attacker who knows the model cannot do worse than one who does not; so the attacks on the
    model itself miss some of what there is, as where gradients are masked, and its accuracy under
    attack is an overestimate.

    Attributes:
        model: that was fooled.
        made_on: the other model.
        epsilon: the budget.
        points: worst case in the white box − worst case of the other's perturbations.
        interval: of that.
    """

    model: str
    made_on: str
    epsilon: float
    points: float
    interval: Interval | None = None


class AdversarialReport(Frozen):
    """Accuracy under attack, of one model or several.

    Attributes:
        dataset: name of the images.
        images: how many.
        norm: that the budgets are measured in.
        epsilons: the budgets, from the smallest to the largest.
        attacks: by name, the settings of each.
        seed: of the attacks and the draws.
        resamples: draws of the images behind the intervals; 0: there are none.
        confidence: of the intervals.
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
            yield _row("", name, CLEAN, 0.0, model.clean)
            for budget in model.budgets:
                for attack, found in budget.attacks.items():
                    yield _row(name, name, attack, budget.epsilon, found)
                yield _row(name, name, WORST_CASE, budget.epsilon, budget.worst_case)
        for matrix in self.transfer:
            for made_on, line in matrix.accuracies.items():
                for tried_on, other in line.items():
                    if made_on != tried_on:
                        yield _row(made_on, tried_on, matrix.attack, matrix.epsilon, other)


_COLUMNS = (
    "made_on", "tried_on", "attack", "epsilon", "accuracy", "low", "high", "gain", "gain_low",
    "gain_high",
)  # fmt: skip


def _row(
    made_on: str, tried_on: str, attack: str, epsilon: float, found: Measured
) -> tuple[object, ...]:
    gain = found.gain if isinstance(found, Compared) else None
    gain_interval = found.gain_interval if isinstance(found, Compared) else None
    return (
        made_on, tried_on, attack, f"{epsilon:.6g}", f"{found.accuracy:.3f}",
        *ends(found.interval), "" if gain is None else f"{gain:.3f}", *ends(gain_interval),
    )  # fmt: skip
