"""What must hold for an attack that does not hide its own weakness.

Carlini et al., On Evaluating Adversarial Robustness, 2019.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest

from rwsstore.attacks import Apgd, Attack, Fgsm, Norm, Pgd
from tests.attacks.making import Trained, accuracy

RADII: dict[Norm, tuple[float, ...]] = {"linf": (0.02, 0.05, 0.1, 0.3), "l2": (0.3, 0.8, 1.5, 5.0)}
KINDS: dict[str, Callable[[float, Norm], Attack]] = {
    "fgsm": Fgsm,
    "pgd": Pgd,
    "apgd": partial(Apgd, steps=30),
}


def under(attack: Attack, digits: Trained) -> float:
    found = attack.perturb(digits.model, digits.images, digits.labels)
    return accuracy(digits.model, found, digits.labels)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_larger_budget_never_helps_the_defender(kind: str, norm: Norm, digits: Trained) -> None:
    found = [under(KINDS[kind](epsilon, norm), digits) for epsilon in RADII[norm]]
    assert found == sorted(found, reverse=True)
    assert accuracy(digits.model, digits.images, digits.labels) > found[0]
    if kind != "fgsm":  # a budget that is large enough leaves nothing
        assert found[-1] == 0


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_more_steps_never_help_the_defender(norm: Norm, digits: Trained) -> None:
    epsilon = RADII[norm][1]
    one_step = under(Fgsm(epsilon, norm), digits)
    pgd = [under(Pgd(epsilon, norm, steps=steps), digits) for steps in (5, 40)]
    apgd = [under(Apgd(epsilon, norm, steps=steps), digits) for steps in (10, 40)]
    for found in ([one_step, *pgd], [one_step, *apgd]):
        assert all(late <= early + 0.5 for early, late in pairwise(found))
    assert apgd[-1] <= pgd[-1] + 0.5


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_is_made_on_another_network_never_beats_what_is_made_on_this_one(
    kind: str, norm: Norm, digits: Trained
) -> None:
    attack = KINDS[kind](RADII[norm][2], norm)
    foreign = attack.perturb(digits.other, digits.images, digits.labels, early_exit=False)
    black_box = accuracy(digits.model, foreign, digits.labels)
    white_box = under(attack, digits)
    assert white_box < black_box
    assert black_box < accuracy(digits.model, digits.images, digits.labels)


def test_an_image_that_goes_all_the_way_transfers_better(digits: Trained) -> None:
    attack = Pgd(0.1)
    found = []
    for early_exit in (True, False):
        made = attack.perturb(digits.other, digits.images, digits.labels, early_exit=early_exit)
        found.append(accuracy(digits.model, made, digits.labels))
    assert found[1] < found[0] - 10
