"""What holds for every attack."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from rwsstore.attacks import Attack, Fgsm, Norm, Pgd
from rwsstore.attacks.registry import ATTACKS
from rwsstore.models import ordered_layers
from rwsstore.progress import Task
from tests.attacks.making import Linear, Trained, attacks, noise, right, sizes, snapshot, weights
from tests.training.tiny import classifier, two_convs

NAMES = ("fgsm", "pgd", "feature_pgd", "apgd")


def network(name: str) -> nn.Module:
    if name == "two_convs":
        return two_convs(batch_norm=True)
    if name == "two_convs folded":
        return two_convs()
    kind, _, folded = name.partition(" ")
    return classifier(kind, folded=bool(folded))


def one_of_each(model: nn.Module, norm: Norm, epsilon: float) -> dict[str, Attack]:
    layers = ordered_layers(model)
    names = (layers[0].name, layers[-1].name)
    return {attack.name: attack for attack in attacks(norm, epsilon, names)}


def test_none_is_forgotten_here() -> None:
    assert set(ATTACKS) == set(NAMES) == set(one_of_each(two_convs(), "linf", 0.1))


@pytest.mark.parametrize(
    "name",
    [
        "vgg16",
        "resnet18",
        "two_convs",
        "two_convs folded",
    ],
)
def test_the_model_is_left_as_it_was(name: str) -> None:
    model = network(name)
    for place, parameter in enumerate(model.parameters()):
        parameter.grad = torch.ones_like(parameter) if place % 3 else None
        parameter.requires_grad_(place % 2 == 0)
    images = noise(3, 16)
    with torch.no_grad():
        labels = model(images).argmax(1)
    before = snapshot(model)
    tried = [
        *one_of_each(model, "linf", 0.002).values(),
        *one_of_each(model, "l2", 0.05).values(),
    ]
    for attack in tried:
        found = attack.perturb(model, images, labels)
        assert snapshot(model) == before, attack
        assert not found.requires_grad


@settings(max_examples=40)
@given(
    st.sampled_from(NAMES),
    st.one_of(
        st.tuples(st.just("linf"), st.floats(1e-3, 1.0)),
        st.tuples(st.just("l2"), st.floats(1e-3, 4.0)),
    ),
    st.integers(1, 5),
    st.tuples(st.integers(3, 9), st.integers(3, 9)),
    st.booleans(),
    st.integers(0, 1000),
)
def test_every_image_stays_in_its_budget_and_in_the_box(
    name: str,
    budget: tuple[Norm, float],
    count: int,
    shape: tuple[int, int],
    early_exit: bool,
    seed: int,
) -> None:
    norm, epsilon = budget
    model = two_convs(seed % 3)
    generator = torch.Generator().manual_seed(seed)
    images = (1.6 * torch.rand(count, 3, *shape, generator=generator) - 0.3).clamp(0, 1)
    labels = torch.randint(0, 3, (count,), generator=generator)
    attack = one_of_each(model, norm, epsilon)[name]
    found = attack.perturb(model, images, labels, early_exit=early_exit, seed=seed)
    assert found.shape == images.shape
    assert found.dtype == torch.float32
    assert float(sizes(found, images, norm).max()) <= epsilon * (1 + 1e-5) + 1e-6
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_it_fools_a_trained_network(name: str, norm: Norm, digits: Trained) -> None:
    attack = one_of_each(digits.model, norm, 0.1 if norm == "linf" else 1.5)[name]
    found = attack.perturb(digits.model, digits.images, digits.labels)
    clean = right(digits.model, digits.images, digits.labels)
    left = right(digits.model, found, digits.labels)
    assert not bool((left & ~clean).any())
    share = 0.95 if name == "feature_pgd" else 0.5  # it does not look at the answer
    assert int(left.sum()) < share * int(clean.sum())


@pytest.mark.parametrize("name", NAMES)
def test_the_same_call_gives_the_same_images(name: str, digits: Trained) -> None:
    attack = one_of_each(digits.model, "linf", 0.06)[name]
    images, labels = digits.images[:40], digits.labels[:40]
    one = attack.perturb(digits.model, images, labels, seed=5)
    torch.rand(3)
    assert torch.equal(one, attack.perturb(digits.model, images, labels, seed=5))
    other = attack.perturb(digits.model, images, labels, seed=6)
    assert torch.equal(one, other) == (name == "fgsm")


@pytest.mark.parametrize("name", NAMES)
def test_an_images_answer_does_not_depend_on_its_batch(name: str, digits: Trained) -> None:
    attack = one_of_each(digits.model, "l2", 0.8)[name]
    images, labels = digits.images[:40], digits.labels[:40]
    whole = attack.perturb(digits.model, images, labels)
    small = attack.perturb(digits.model, images, labels, batch_size=7)
    torch.testing.assert_close(whole, small, atol=1e-3, rtol=0)
    order = torch.arange(39, -1, -1)
    shuffled = attack.perturb(digits.model, images[order], labels[order], indices=order)
    torch.testing.assert_close(whole, shuffled[order], atol=1e-3, rtol=0)


def test_the_callers_modes_do_not_reach_in(digits: Trained) -> None:
    images, labels = digits.images[:10], digits.labels[:10]
    attack = Pgd(0.06)
    expected = attack.perturb(digits.model, images, labels)
    with torch.no_grad():
        assert torch.equal(attack.perturb(digits.model, images, labels), expected)
    with torch.inference_mode():
        made_here = images.clone(), labels.clone()
        assert torch.equal(attack.perturb(digits.model, *made_here), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(attack.perturb(digits.model, images, labels), expected)
    assert torch.is_grad_enabled()


def test_bytes_and_doubles_are_taken_and_left_alone(digits: Trained) -> None:
    labels = digits.labels[:10]
    pixels = (digits.images[:10] * 255).round().to(torch.uint8)
    kept = pixels.clone()
    found = Fgsm(0.05).perturb(digits.model, pixels, labels)
    assert torch.equal(pixels, kept)
    assert found.dtype == torch.float32
    doubles = pixels.double() / 255
    torch.testing.assert_close(Fgsm(0.05).perturb(digits.model, doubles, labels), found)
    units = pixels.float() / 255
    again = units.clone()
    assert Fgsm(0.05).perturb(digits.model, units, labels).data_ptr() != units.data_ptr()
    assert torch.equal(units, again)


def test_another_budget() -> None:
    attack = Pgd(0.1, "l2", steps=7, step_size=0.02, restarts=2)
    assert attack.with_epsilon(0.3) == Pgd(0.3, "l2", steps=7, step_size=0.02, restarts=2)
    assert attack.epsilon == 0.1
    for attack_of_kind in attacks("linf", 0.1, ("fc",)):
        assert attack_of_kind.with_epsilon(0.2).epsilon == 0.2


class Told:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.tasks: list[tuple[str, int]] = []
        self.steps = 0

    @contextmanager
    def task(self, description: str, *, total: int) -> Iterator[Task]:
        self.tasks.append((description, total))
        yield self

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        self.steps += steps


def test_progress_counts_images() -> None:
    told = Told()
    labels = torch.zeros(5, dtype=torch.int64)
    Fgsm(0.1).perturb(Linear(weights()), noise(5), labels, batch_size=2, progress=told)
    assert told.tasks == [("fgsm", 5)]
    assert told.steps == 5
