"""Against the Adversarial Robustness Toolbox, on a trained network: as strong to within a point."""

from typing import Any

import numpy as np
import pytest
import torch
from art.attacks.evasion import AutoProjectedGradientDescent, ProjectedGradientDescent
from art.estimators.classification import PyTorchClassifier
from torch import nn

from rwsstore.attacks import Apgd, Attack, Norm, Pgd
from tests.attacks.making import SIZE, Trained, accuracy, right

ORDER: dict[Norm, float] = {"linf": np.inf, "l2": 2}
CASES: list[tuple[Norm, float]] = [("linf", 0.06), ("l2", 1.0)]


def wrapped(digits: Trained) -> Any:
    return PyTorchClassifier(
        digits.model,
        nn.CrossEntropyLoss(),
        (3, SIZE, SIZE),
        10,
        clip_values=(0.0, 1.0),
        device_type="cpu",
    )


def theirs(attack: Any, digits: Trained) -> float:
    """Accuracy in percent; an image that is wrong without an attack counts as wrong."""
    state = np.random.get_state()  # noqa: NPY002  # the toolbox draws from numpy's global state
    try:
        np.random.seed(0)  # noqa: NPY002
        found = torch.from_numpy(attack.generate(digits.images.numpy(), digits.labels.numpy()))
    finally:
        np.random.set_state(state)  # noqa: NPY002
    clean = right(digits.model, digits.images, digits.labels)
    return 100 * float((clean & right(digits.model, found, digits.labels)).double().mean())


def ours(attack: Attack, digits: Trained) -> float:
    found = attack.perturb(digits.model, digits.images, digits.labels)
    return accuracy(digits.model, found, digits.labels)


@pytest.mark.parametrize(("norm", "epsilon"), CASES)
def test_apgd(norm: Norm, epsilon: float, digits: Trained) -> None:
    attack = AutoProjectedGradientDescent(
        wrapped(digits),
        norm=ORDER[norm],
        eps=epsilon,
        eps_step=2 * epsilon,
        max_iter=50,
        nb_random_init=1,
        batch_size=200,
        loss_type="cross_entropy",
        verbose=False,
    )
    expected = theirs(attack, digits)
    assert ours(Apgd(epsilon, norm, steps=50), digits) == pytest.approx(expected, abs=1.0)


@pytest.mark.parametrize(("norm", "epsilon"), CASES)
def test_pgd(norm: Norm, epsilon: float, digits: Trained) -> None:
    attack = ProjectedGradientDescent(
        wrapped(digits),
        norm=ORDER[norm],
        eps=epsilon,
        eps_step=epsilon / 8,
        max_iter=20,
        num_random_init=1,
        batch_size=200,
        verbose=False,
    )
    expected = theirs(attack, digits)
    attack_of_ours = Pgd(epsilon, norm, steps=20, step_size=epsilon / 8)
    assert ours(attack_of_ours, digits) == pytest.approx(expected, abs=1.0)
