"""What an evaluation under attack is made of."""

__all__ = ["STANDARD_ATTACKS", "AdversarialOptions", "parse_attacks"]

import math
from dataclasses import dataclass

from rwsstore.attacks import Attack, Norm, parse_attack
from rwsstore.errors import ConfigError
from rwsstore.evaluation.adversarial.budgets import DEFAULT_BUDGETS
from rwsstore.evaluation.bootstrap import Resampling

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
