"""Bad input is refused, and the model is left as it was."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rwsstore.attacks import Apgd, Attack, Ball, FeaturePgd, Fgsm, Norm, Pgd, parse_attack
from rwsstore.errors import ConfigError, DataError, TensorError, UnknownNameError
from tests.attacks.making import Linear, attacks, noise, snapshot, weights
from tests.training.tiny import two_convs

LABELS = torch.tensor([0, 1, 2, 0, 1])
NAMES = ("fgsm", "pgd", "feature_pgd", "apgd")
ATTACK = {attack.name: attack for attack in attacks("linf", 0.1, ("conv1",))}


@pytest.mark.parametrize("epsilon", [0.0, -0.1, math.nan, math.inf, -math.inf, 1.001, 8.0])
@pytest.mark.parametrize("kind", [Fgsm, Pgd, Apgd, Ball])
def test_budgets_out_of_range(kind: type[Attack], epsilon: float) -> None:
    with pytest.raises(ConfigError, match=r"epsilon is .*; expected a number above 0"):
        kind(epsilon)


@pytest.mark.parametrize("epsilon", [0.0, -0.1, math.nan, math.inf])
def test_l2_budgets_out_of_range(epsilon: float) -> None:
    with pytest.raises(ConfigError, match="finite"):
        Pgd(epsilon, "l2")


def test_an_l2_budget_beyond_the_box() -> None:
    model = two_convs()
    with pytest.raises(ConfigError, match=r"at most 6\.928 apart"):
        Pgd(7.0, "l2").perturb(model, noise(5, 4), LABELS)
    Pgd(6.9, "l2").perturb(model, noise(5, 4), LABELS)


@pytest.mark.parametrize("norm", ["l1", "", "L2", 2, None])
def test_unknown_norms(norm: Any) -> None:
    with pytest.raises(ConfigError, match="expected 'linf' or 'l2'"):
        Fgsm(0.1, norm)


@pytest.mark.parametrize("kind", [Pgd, Apgd])
@pytest.mark.parametrize("field", ["steps", "restarts"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3"])
def test_counts_out_of_range(kind: Any, field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{field} is"):
        kind(0.1, **{field: value})


@pytest.mark.parametrize("size", [0.0, -0.1, math.nan, math.inf])
def test_step_sizes_out_of_range(size: float) -> None:
    with pytest.raises(ConfigError, match="step_size is"):
        Pgd(0.1, step_size=size)
    with pytest.raises(ConfigError, match="step_size is"):
        FeaturePgd(0.1, layers=("conv1",), step_size=size)


@pytest.mark.parametrize("rho", [0.0, -1.0, 1.1, math.nan])
def test_shares_out_of_range(rho: float) -> None:
    with pytest.raises(ConfigError, match="rho is"):
        Apgd(0.1, rho=rho)


def test_restarts_that_would_be_the_same() -> None:
    with pytest.raises(ConfigError, match="restarts without a random start"):
        Pgd(0.1, restarts=2, random_start=False)


def test_a_budget_is_checked_when_it_is_changed() -> None:
    with pytest.raises(ConfigError, match="epsilon"):
        Pgd(0.1).with_epsilon(-1)


@pytest.mark.parametrize("layers", [(), ("conv1", "conv1")])
def test_no_layers_or_one_twice(layers: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="each once"):
        FeaturePgd(0.1, layers=layers)


@pytest.mark.parametrize("name", ["conv9", "norm1", "", "conv1.weight"])
def test_unknown_layers(name: str) -> None:
    model = two_convs()
    before = snapshot(model)
    with pytest.raises(UnknownNameError, match=r"unknown layer .*conv1, conv2, fc"):
        FeaturePgd(0.1, layers=("conv1", name)).perturb(model, noise(5, 4), LABELS)
    assert snapshot(model) == before


@pytest.mark.parametrize(
    "text", ["", "cw", "PGD10", "pgd-10", "pgd10x", "x5", "fgsm2", "feature_pgd10", "apgd10x2x3"]
)
def test_unknown_attacks(text: str) -> None:
    with pytest.raises(UnknownNameError, match="unknown attack"):
        parse_attack(text, 0.1)


@pytest.mark.parametrize("text", ["pgd0", "pgd10x0", "apgd0"])
def test_attacks_without_steps(text: str) -> None:
    with pytest.raises(ConfigError, match="1 or more"):
        parse_attack(text, 0.1)


def refused(attack: Attack, model: nn.Module, images: Any, labels: Any, **options: Any) -> str:
    before = snapshot(model)
    with pytest.raises((ConfigError, DataError, TensorError)) as caught:
        attack.perturb(model, images, labels, **options)
    assert snapshot(model) == before
    return f"{type(caught.value).__name__}: {caught.value}"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("images", "said"),
    [
        (noise(5, 4) + 0.5, "TensorError: images run from"),
        (noise(5, 4) - 0.5, "TensorError: images run from"),
        (torch.full((5, 3, 4, 4), math.nan), "TensorError: images run from"),
        (noise(5, 4)[0], "TensorError: images have the shape"),
        (noise(5, 4)[:0], "TensorError: images have the shape"),
        ((noise(5, 4) * 255).long(), "TensorError: images are torch.int64"),
        (noise(5, 4)[:, :2], "ConfigError: TwoConvs cannot be run"),
    ],
)
def test_images(name: str, images: Tensor, said: str) -> None:
    assert refused(ATTACK[name], two_convs(), images, LABELS).startswith(said)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (None, "DataError: these images have no labels"),
        (LABELS[:4], "DataError: the labels are"),
        (LABELS.float(), "DataError: the labels are"),
        (LABELS + 1, "DataError: the labels run from 1 to 3"),
        (LABELS - 1, "DataError: the labels run from -1 to 1"),
    ],
)
def test_labels(name: str, labels: Tensor | None, said: str) -> None:
    assert refused(ATTACK[name], two_convs(), noise(5, 4), labels).startswith(said)


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"batch_size": 2.0}, {"seed": 1.5}])
def test_options(options: dict[str, Any]) -> None:
    (name,) = options
    said = refused(Fgsm(0.1), two_convs(), noise(5, 4), LABELS, **options)
    assert said.startswith(f"ConfigError: {name} is")


@pytest.mark.parametrize("indices", [torch.arange(4), torch.arange(5).float()])
def test_indices(indices: Tensor) -> None:
    said = refused(Fgsm(0.1), two_convs(), noise(5, 4), LABELS, indices=indices)
    assert said.startswith("DataError: the indices are")


@pytest.mark.parametrize("name", NAMES)
def test_a_model_in_training_mode(name: str) -> None:
    model = two_convs(batch_norm=True)
    model.get_submodule("norm1").train()
    said = refused(ATTACK[name], model, noise(5, 4), LABELS)
    assert "'norm1' is in training mode" in said


def test_a_model_of_one_class() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 1)).eval()
    said = refused(Fgsm(0.1), model, noise(2), torch.zeros(2, dtype=torch.int64))
    assert said.startswith("ConfigError: the model has 1 class")


class Rounded(Linear):
    """Answers that torch cannot differentiate."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).detach()


@pytest.mark.parametrize("attack", [Fgsm(0.1), Pgd(0.1), Apgd(0.1)])
def test_a_model_without_gradients(attack: Attack) -> None:
    labels = torch.zeros(5, dtype=torch.int64)
    said = refused(attack, Rounded(weights()), noise(), labels, early_exit=False)
    assert "has no gradient with respect to its images" in said


class Rooted(Linear):
    """The gradient at a black image is infinite."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + images.sum((1, 2, 3)).sqrt()[:, None]


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_gradients_that_are_not_finite_are_refused_with_the_images_index(norm: Norm) -> None:
    images = noise()
    images[3] = 0
    labels = torch.zeros(5, dtype=torch.int64)
    indices = torch.tensor([40, 41, 42, 43, 44])
    for attack in (Fgsm(0.1, norm), Pgd(0.1, norm, random_start=False)):
        for early_exit in (True, False):
            said = refused(
                attack,
                Rooted(weights()),
                images,
                labels,
                indices=indices,
                batch_size=2,
                early_exit=early_exit,
            )
            assert said.startswith("TensorError: the loss or gradient of image 43 is NaN")


class Bursting(Linear):
    """Logits are NaN where an image is bright."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + (0.6 - images.mean((1, 2, 3))).sqrt()[:, None]


def test_answers_that_are_not_finite_are_refused_with_the_images_index() -> None:
    images = 0.5 * noise(3)
    images[2] += 0.5
    labels = torch.zeros(3, dtype=torch.int64)
    said = refused(Fgsm(0.1), Bursting(weights()), images, labels)
    assert said.startswith("TensorError: the loss of image 2 is NaN")
    # The search itself walks into the region, too.
    walking = refused(Pgd(0.9), Bursting(torch.ones(12), bias=-6.0), images[:2], labels[:2])
    assert walking.startswith("TensorError: the loss")


class Careless(Fgsm):
    """An attack that leaves its budget."""

    def _attack(self, batch: Any) -> Tensor:
        changed: Tensor = 1 - batch.images
        return changed


def test_an_attack_that_leaves_its_budget() -> None:
    said = refused(Careless(0.1), two_convs(), noise(5, 4), LABELS, early_exit=False)
    assert said == "TensorError: fgsm left its budget of 0.1 (linf)"
