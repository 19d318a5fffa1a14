"""From which images stayed right to the figures of a report."""

__all__ = ["Tried", "assemble", "with_worst_case"]

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from torch import Tensor

from rwsstore.data import ImageSet
from rwsstore.evaluation.adversarial.options import AdversarialOptions
from rwsstore.evaluation.adversarial.report import (
    CLEAN,
    WORST_CASE,
    AdversarialReport,
    Budget,
    Compared,
    Masked,
    Measured,
    ModelUnderAttack,
    Transfer,
)
from rwsstore.evaluation.bootstrap import Figure


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
