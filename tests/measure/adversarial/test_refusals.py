"""What cannot be measured is refused before anything is."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rwsstore.errors import ConfigError, DataError, TensorError, UnknownNameError
from rwsstore.measure.adversarial import AdversarialOptions, evaluate_attacks, parse_attacks
from tests.measure.adversarial.making import BRIGHT, Darken, Threshold, greys

OPTIONS = AdversarialOptions(epsilons=(0.01,), resamples=0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epsilons": ()}, "epsilons"),
        ({"epsilons": (0.0,)}, "epsilons"),
        ({"epsilons": (-0.1,)}, "epsilons"),
        ({"epsilons": (float("nan"),)}, "epsilons"),
        ({"epsilons": (float("inf"),)}, "epsilons"),
        ({"epsilons": (0.2, 0.1)}, "epsilons"),
        ({"epsilons": (0.1, 0.1)}, "epsilons"),
        ({"batch_size": 0}, "batch_size"),
        ({"resamples": 3}, "resamples"),
        ({"confidence": 1.0}, "confidence"),
        ({"seed": -1}, "seed"),
        ({"seed": 0.5}, "seed"),
    ],
)
def test_options_out_of_range(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AdversarialOptions(**fields)


@pytest.mark.parametrize("text", ["fgsm,fgsm", "pgd,pgd10", "apgd,fgsm,apgd100x1"])
def test_the_same_attack_twice(text: str) -> None:
    with pytest.raises(ConfigError, match="twice"):
        parse_attacks(text, 0.1)


@pytest.mark.parametrize("text", ["", "fgsm,", "standard,fgsm", "pdg10"])
def test_no_such_attack(text: str) -> None:
    with pytest.raises(UnknownNameError):
        parse_attacks(text, 0.1)


class Broken(Threshold):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * float("nan")


@pytest.mark.parametrize(
    ("models", "attacks", "error", "message"),
    [
        ({}, {"d": Darken(0.1)}, ConfigError, "no model"),
        ({"": Threshold(0.5)}, {"d": Darken(0.1)}, ConfigError, "name"),
        ({"m": Threshold(0.5)}, {}, ConfigError, "no attack"),
        ({"m": Threshold(0.5)}, {"none": Darken(0.1)}, ConfigError, "'none'"),
        ({"m": Threshold(0.5)}, {"worst case": Darken(0.1)}, ConfigError, "'worst case'"),
        (
            {"m": Threshold(0.5)},
            {"d": Darken(0.1), "e": Darken(0.1, "l2")},
            ConfigError,
            "l2 and linf",
        ),
        (
            {"m": Threshold(0.5), "n": Threshold(0.5, classes=3)},
            {"d": Darken(0.1)},
            ConfigError,
            "m 2, n 3",
        ),
        ({"m": Broken(0.5)}, {"d": Darken(0.1)}, TensorError, "NaN"),
    ],
)
def test_what_does_not_go_together(
    models: dict[str, nn.Module],
    attacks: dict[str, Darken],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        evaluate_attacks(models, attacks, BRIGHT, OPTIONS)


def test_a_model_in_training_mode() -> None:
    models = {"m": Threshold(0.5), "n": Threshold(0.5).train()}
    with pytest.raises(ConfigError, match="training mode"):
        evaluate_attacks(models, {"d": Darken(0.1)}, BRIGHT, OPTIONS)
    assert models["n"].training


def test_labels_that_the_models_do_not_know() -> None:
    images = greys([1, 2], [0, 1])
    images = replace(images, labels=torch.tensor([0, 2]), classes=("a", "b", "c"))
    with pytest.raises(DataError, match="labels run from 0 to 2"):
        evaluate_attacks({"m": Threshold(0.5)}, {"d": Darken(0.1)}, images, OPTIONS)


def test_a_budget_that_an_attack_refuses_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*args: object, **more: object) -> Tensor:
        raise AssertionError("attacked")

    monkeypatch.setattr(Darken, "perturb", never)
    options = AdversarialOptions(epsilons=(0.5, 1.5), resamples=0)
    with pytest.raises(ConfigError, match=r"1\.5"):
        evaluate_attacks({"m": Threshold(0.5)}, {"d": Darken(0.1)}, BRIGHT, options)
