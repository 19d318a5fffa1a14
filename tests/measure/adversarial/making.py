"""Models and attacks so simple that every accuracy can be told by hand."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from rwsstore.attacks import Attack
from rwsstore.attacks.search import AttackBatch
from rwsstore.data import ImageSet
from rwsstore.measure.adversarial import WORST_CASE, AdversarialReport, Transfer
from rwsstore.measure.adversarial.report import (
    Budget,
    ComparedAccuracy,
    Masked,
    MeasuredAccuracy,
    ModelUnderAttack,
)
from rwsstore.measure.bootstrap import Interval


class Threshold(nn.Module):
    """Tells grey images apart: class 1 from a brightness on, class 0 below."""

    def __init__(self, at: float, *, classes: int = 2) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.tensor(at))
        self.classes = classes
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        above = x.mean((1, 2, 3)) - self.at
        return torch.stack([-above, above, *[above - 9] * (self.classes - 2)], dim=1)


def greys(brightness: list[int], labels: list[int]) -> ImageSet:
    """Uniform images; brightness in 0..255."""
    images = torch.tensor(brightness, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 4, 4)
    return ImageSet(images.contiguous(), torch.tensor(labels), ("dark", "bright"), "greys")


BRIGHT = greys([131, 135, 139, 159, 255, 115], [1] * 6)
"""Above 0.5 by 3.5, 7.5, 11.5, 31.5 and 127.5 255ths; the last lies below by 12.5."""


@dataclass(frozen=True)
class Darken(Attack):
    """Takes the whole budget from every value."""

    name: ClassVar[str] = "darken"

    def _attack(self, batch: AttackBatch) -> Tensor:
        return (batch.images - self.epsilon).clamp(0, 1)


@dataclass(frozen=True)
class Fickle(Darken):
    """Darkens within small budgets; gives up beyond."""

    name: ClassVar[str] = "fickle"
    most: float = 9 / 255

    def _attack(self, batch: AttackBatch) -> Tensor:
        return super()._attack(batch) if self.epsilon <= self.most else batch.images


@dataclass(frozen=True)
class Blunt(Darken):
    """Finds nothing on models whose threshold is `blind`."""

    name: ClassVar[str] = "blunt"
    blind: float = 0.5

    def _attack(self, batch: AttackBatch) -> Tensor:
        seen = float(batch.model.get_parameter("at"))
        return batch.images if seen == self.blind else super()._attack(batch)


def make_report(
    names: tuple[str, ...] = ("clean", "fog=0.5"),
    *,
    intervals: bool = True,
    masked: bool = False,
    dataset: str = "tiny",
) -> AdversarialReport:
    """A report of made-up numbers."""

    def around(value: float, half: float) -> Interval | None:
        return Interval(low=value - half, high=value + half) if intervals else None

    def compared(value: float, *, first: bool) -> ComparedAccuracy:
        gain = {} if first else {"gain": 2.5, "gain_interval": around(2.5, 0.75)}
        return ComparedAccuracy(accuracy=value, interval=around(value, 1.25), **gain)

    epsilons = (2 / 255, 8 / 255)
    models = {
        name: ModelUnderAttack(
            clean=compared(90.0 - n, first=n == 0),
            budgets=tuple(
                Budget(
                    epsilon=epsilon,
                    attacks={
                        "fgsm": compared(50.5 - 10 * k - n, first=n == 0),
                        "pgd10": compared(40.5 - 10 * k - n, first=n == 0),
                    },
                    worst_case=compared(38.5 - 10 * k - n, first=n == 0),
                )
                for k, epsilon in enumerate(epsilons)
            ),
        )
        for n, name in enumerate(names)
    }
    transfer = tuple(
        Transfer(
            attack=attack,
            epsilon=epsilon,
            accuracies={
                one: {
                    other: MeasuredAccuracy(accuracy=70.0 + 3 * i + j, interval=around(70.0, 1.0))
                    for j, other in enumerate(names)
                }
                for i, one in enumerate(names)
            },
        )
        for attack in ("fgsm", "pgd10", WORST_CASE)
        for epsilon in epsilons
    )
    hidden = Masked(
        model=names[-1], made_on=names[0], epsilon=epsilons[1], points=4.5, interval=around(4.5, 1)
    )
    return AdversarialReport(
        dataset=dataset,
        images=1234,
        norm="linf",
        epsilons=epsilons,
        attacks={"fgsm": {"kind": "fgsm"}, "pgd10": {"kind": "pgd", "steps": 10}},
        seed=3,
        resamples=1000 if intervals else 0,
        confidence=0.95,
        models=models,
        transfer=transfer if len(names) > 1 else (),
        masked=(hidden,) if masked else (),
    )
