"""Against foolbox, on a trained network: as strong to within one point, for every budget."""

import os
import warnings
from typing import Any

import pytest
import torch

from rwsstore.attacks import Attack, Fgsm, Norm, Pgd
from tests.attacks.making import Trained, accuracy, right

os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # foolbox looks for git, and needs none
with warnings.catch_warnings():
    # Of its blurring attack, which asks scipy for a name that moved.
    warnings.filterwarnings("ignore", message=".*gaussian_filter.*", category=DeprecationWarning)
    from foolbox.attacks import L2PGD, LinfPGD
    from foolbox.attacks.fast_gradient_method import L2FastGradientAttack, LinfFastGradientAttack
    from foolbox.models.pytorch import PyTorchModel

STEPS = 20
CASES: list[tuple[Norm, float]] = [
    ("linf", 0.03),
    ("linf", 0.06),
    ("linf", 0.1),
    ("l2", 0.5),
    ("l2", 1.0),
    ("l2", 1.5),
]


def theirs(attack: Any, epsilon: float, digits: Trained) -> float:
    """Accuracy in percent; an image that is wrong without an attack counts as wrong."""
    model = PyTorchModel(digits.model, bounds=(0, 1), device="cpu")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, found, _ = attack(model, digits.images, digits.labels, epsilons=epsilon)
    clean = right(digits.model, digits.images, digits.labels)
    return 100 * float((clean & right(digits.model, found, digits.labels)).double().mean())


def ours(attack: Attack, digits: Trained) -> float:
    found = attack.perturb(digits.model, digits.images, digits.labels)
    return accuracy(digits.model, found, digits.labels)


@pytest.mark.parametrize(("norm", "epsilon"), CASES)
def test_fgsm(norm: Norm, epsilon: float, digits: Trained) -> None:
    kinds = {
        "linf": LinfFastGradientAttack,
        "l2": L2FastGradientAttack,
    }
    expected = theirs(kinds[norm](), epsilon, digits)
    assert ours(Fgsm(epsilon, norm), digits) == pytest.approx(expected, abs=1.0)


@pytest.mark.parametrize(("norm", "epsilon"), CASES)
def test_pgd(norm: Norm, epsilon: float, digits: Trained) -> None:
    kinds = {"linf": LinfPGD, "l2": L2PGD}
    attack = kinds[norm](steps=STEPS, rel_stepsize=2.5 / STEPS, random_start=True)
    expected = theirs(attack, epsilon, digits)
    assert ours(Pgd(epsilon, norm, steps=STEPS), digits) == pytest.approx(expected, abs=1.0)
