"""Attacks by name, and the short way to write one."""

import re
from collections.abc import Mapping
from dataclasses import replace

from rwsstore.attacks.apgd import Apgd
from rwsstore.attacks.ball import Norm
from rwsstore.attacks.base import Attack
from rwsstore.attacks.pgd import FeaturePgd, Fgsm, Pgd
from rwsstore.errors import UnknownNameError

ATTACKS: Mapping[str, type[Attack]] = {
    attack.name: attack for attack in (Apgd, FeaturePgd, Fgsm, Pgd)
}
"""Every attack by name."""

_WRITTEN = re.compile(r"(a?pgd)([0-9]{1,9})?(?:x([0-9]{1,9}))?")
_EXAMPLES = ("apgd", "apgd100x2", "fgsm", "pgd10", "pgd20x5")


def parse_attack(text: str, epsilon: float, norm: Norm = "linf") -> Attack:
    """Read an attack: `fgsm`, or `pgd` or `apgd` with steps and restarts, as in `pgd20x5`.

    Without a number, the attack's default holds (`pgd` is `pgd10x1`, `apgd` is `apgd100x1`).
    Feature-space PGD needs layers, so it cannot be written like that.

    Args:
        text: what is read.
        epsilon: the budget.
        norm: its norm.

    Raises:
        UnknownNameError: no such attack.
        ConfigError: no steps, no restarts, or a budget out of its range.
    """
    if text == Fgsm.name:
        return Fgsm(epsilon, norm)
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise UnknownNameError("attack", text, _EXAMPLES)
    name, steps, restarts = found.groups()
    attack = Apgd(epsilon, norm) if name == Apgd.name else Pgd(epsilon, norm)
    return replace(
        attack,
        steps=attack.steps if steps is None else int(steps),
        restarts=attack.restarts if restarts is None else int(restarts),
    )
