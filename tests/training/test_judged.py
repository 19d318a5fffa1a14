"""What the best epoch is chosen by, where a training is against attacks."""

import pytest
import torch
from torch import Tensor, nn

from rwsstore.attacks import Pgd
from rwsstore.measure import accuracy
from rwsstore.training import fit
from tests.training.robust import TRAIN, VALIDATION, made, residual
from tests.training.tiny import config

NAMES = ("pgd_at", "fast_at", "trades", "clat")


@pytest.mark.parametrize("name", NAMES)
def test_the_best_epoch_is_chosen_under_attack(name: str) -> None:
    recipe = made(name, judged=7, epsilon=0.1)
    result = fit(residual(), recipe, TRAIN, VALIDATION, config(3))
    rows = torch.tensor([0, 1, 3, 5, 6, 8, 10])  # seven of twelve, evenly
    images, labels = VALIDATION.images[rows], VALIDATION.labels[rows]
    found = []
    for seed in range(2):
        attacked = Pgd(0.1, steps=10).perturb(result.model, images, labels, seed=seed)
        wanted = accuracy(result.model, attacked, labels)
        found.append(recipe.score(result.model, VALIDATION.images, VALIDATION.labels, seed))
        assert found[-1] == wanted
    assert result.best.accuracy == max(record.accuracy for record in result.history)
    assert recipe.scored_on(12) == "7 of 12 validation images under PGD-10, ε = 0.1"
    assert made(name).scored_on(1200) == "500 of 1,200 validation images under PGD-10, ε = 0.03"


def test_judged_on_clean_images_all_of_them() -> None:
    model, recipe = residual(), made("pgd_at", judged=0)
    found = recipe.score(model, VALIDATION.images, VALIDATION.labels, 0)
    assert found == accuracy(model, VALIDATION.images, VALIDATION.labels)
    assert recipe.scored_on(1200) == "1,200 validation images"


def test_the_judge_sees_every_class_of_a_sorted_set() -> None:
    order = VALIDATION.labels.argsort()
    seen = list[Tensor]()

    class Noting(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images.detach())
            logits: Tensor = model(images)
            return logits

    model = residual()
    made("pgd_at", judged=7).score(
        Noting().eval(), VALIDATION.images[order], VALIDATION.labels[order], 0
    )
    shown = {image.numpy().tobytes() for image in torch.cat(seen)}
    units = VALIDATION.images.float() / 255
    there = torch.tensor([image.numpy().tobytes() in shown for image in units])
    assert set(VALIDATION.labels[there].tolist()) == {0, 1, 2}


def test_the_judge_is_in_float32_whatever_the_training() -> None:
    model, recipe = residual(2), made("pgd_at", epsilon=0.1)
    seen = list[torch.dtype]()
    handle = model.first.register_forward_hook(lambda _m, _given, out: seen.append(out.dtype))
    plain = recipe.score(model, VALIDATION.images, VALIDATION.labels, 0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert recipe.score(model, VALIDATION.images, VALIDATION.labels, 0) == plain
    handle.remove()
    assert set(seen) == {torch.float32}
