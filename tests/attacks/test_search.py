"""Images leave early: what the model is asked, counted on the model itself."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from rwsstore.attacks import Apgd, Attack, Fgsm, Pgd
from rwsstore.attacks.search import AttackBatch, Best
from tests.attacks.making import Linear, Trained, right


@contextmanager
def counted(model: nn.Module) -> Iterator[list[int]]:
    """Sizes of the batches that a model is given."""
    batches: list[int] = []

    def count(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        batches.append(len(inputs[0]))

    hook = model.register_forward_pre_hook(count)
    try:
        yield batches
    finally:
        hook.remove()


def batches(attack: Attack, model: nn.Module, images: Tensor, labels: Tensor) -> list[int]:
    with counted(model) as found:
        attack.perturb(model, images, labels)
    return found[1:]  # the first is the check that the model answers


def scores(*values: float) -> tuple[Linear, Tensor]:
    """Grey images of which a model gives class 1 a logit of just these values."""
    images = torch.full((len(values), 3, 2, 2), 0.5)
    model = Linear(torch.ones(12), bias=-6.0)
    return model, images + torch.tensor(values).view(-1, 1, 1, 1) / 12


def test_images_that_are_wrong_already_are_left_as_they_are() -> None:
    model, images = scores(1, -1, 2)
    labels = torch.tensor([1, 1, 1])
    for attack in (Fgsm(0.01), Pgd(0.01), Apgd(0.01)):
        found = attack.perturb(model, images, labels)
        assert torch.equal(found[1], images[1])
        assert not torch.equal(found[0], images[0])


def test_fgsm_asks_once_for_each_image_that_is_right() -> None:
    model, images = scores(1, -1, 2)
    assert batches(Fgsm(0.01), model, images, torch.tensor([1, 1, 1])) == [3, 2]


def test_fooled_images_leave_the_batch_and_its_restarts() -> None:
    # A step of 0.01 lowers the logit by 0.12: fooled after 1, after 3, and never.
    model, images = scores(0.1, 0.3, 2.0)
    labels = torch.tensor([1, 1, 1])
    attack = Pgd(0.05, steps=4, step_size=0.01, random_start=False)
    assert batches(attack, model, images, labels) == [3, 3, 3, 2, 2, 1]
    again = Pgd(0.05, steps=4, step_size=0.05, restarts=3)
    found = batches(again, model, images, labels)
    assert found[-10:] == [1] * 10  # two more starts, five points each, of the last image alone


def test_a_batch_of_which_none_stands_is_done() -> None:
    model, images = scores(0.01, 0.02)
    labels = torch.tensor([1, 1])
    assert sum(batches(Apgd(0.1), model, images, labels)) <= 8
    assert batches(Pgd(0.1), model, images, torch.tensor([0, 0])) == [2]


def test_without_early_exit_every_image_goes_all_the_way() -> None:
    model, images = scores(0.1, 0.3, -2.0)
    labels = torch.tensor([1, 1, 1])
    attack = Pgd(0.05, steps=4, step_size=0.01, random_start=False)
    with counted(model) as found:
        changed = attack.perturb(model, images, labels, early_exit=False)
    assert found == [1, 3, 3, 3, 3, 3]
    torch.testing.assert_close(changed, images - 0.04)


def test_every_restart_starts_elsewhere() -> None:
    model, images = scores(4.0)
    seen: list[Tensor] = []
    hook = model.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].detach()))
    Pgd(0.01, steps=1, restarts=3).perturb(model, images, torch.tensor([1]))
    hook.remove()
    starts = seen[2::2]  # after the check and the look at the image itself
    assert len(starts) == 3
    assert len({tuple(start.flatten().tolist()) for start in starts}) == 3


def test_a_point_that_fools_beats_one_of_higher_loss() -> None:
    images = torch.zeros(2, 3, 1, 1)
    for early_exit, expected in ((True, [0.2, 0.1]), (False, [0.1, 0.1])):
        batch = AttackBatch(
            model=nn.Identity(),
            images=images,
            labels=torch.tensor([1, 1]),
            indices=torch.arange(2),
            seed=0,
            early_exit=early_exit,
        )
        best, rows = Best(batch), torch.arange(2)
        best.offer(rows, images + 0.1, torch.tensor([3.0, 3.0]), torch.tensor([1, 1]))
        stay = best.offer(rows, images + 0.2, torch.tensor([2.0, 2.0]), torch.tensor([0, 1]))
        assert stay.tolist() == [not early_exit, True]
        assert len(best.standing()) == int(stay.sum())
        torch.testing.assert_close(best.images[:, 0, 0, 0], torch.tensor(expected))


def test_images_come_back_in_their_places(digits: Trained) -> None:
    found = Pgd(0.05).perturb(digits.model, digits.images, digits.labels)
    stands = right(digits.model, found, digits.labels)
    wrong = ~right(digits.model, digits.images, digits.labels)
    assert torch.equal(found[wrong], digits.images[wrong])
    assert 0 < int(stands.sum()) < len(stands) - int(wrong.sum())
    assert float((found - digits.images).abs().max()) <= 0.05 + 1e-6
