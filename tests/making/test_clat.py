"""CLAT from end to end: what it trained is a patch, put on and taken off without a trace."""

from typing import Any

import pytest
import torch

from rwsstore.making import publish_delta
from rwsstore.making.pipeline import SweepItem
from rwsstore.patches import Patch
from rwsstore.runtime import LiveModel, PatchBag
from rwsstore.store import Store
from rwsstore.training import ClatRecipe, fit
from tests.making.tiny import TRAIN, VALIDATION, clean_model, options
from tests.training.tiny import config, pictures

SETTINGS = {"steps": 2, "images": 12, "epsilon": 0.05, "k": 1, "strength": 0.1, "judged": 9}
TRAINING = config(4, learning_rate=0.05)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[SweepItem, ClatRecipe]:
    """Made once, at 32 bits."""
    return made(Store(tmp_path_factory.mktemp("clat")), bits=32)


def made(store: Store, *, bits: int = 8, **settings: Any) -> tuple[SweepItem, ClatRecipe]:
    recipe = ClatRecipe.configured({**SETTINGS, **settings})
    training = TRAINING.model_dump()
    wanted = options(bits=bits, alphas=(1.0,), card_images=5, training=training)
    return publish_delta(clean_model(), recipe, TRAIN, VALIDATION, wanted, store), recipe


def tensors(*layers: str) -> set[str]:
    return {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}


def test_it_is_a_quantized_patch_that_says_what_it_is_for(store: Store) -> None:
    bits = 4
    item, recipe = made(store, bits=bits)
    patch = store.get("clat")
    found = patch.metadata
    assert (found.kind, found.name, found.bits) == ("clat", "clat", bits)
    assert (found.attack, found.budget) == ("pgd20_apgd100_linf", 0.05)
    ((layer,),) = (one.layers for one in recipe.selections)
    assert set(patch.tensors) == tensors(layer)
    assert found.layers == (layer,)
    assert found.recipe is not None
    assert found.recipe.parameters["set.strength"] == 0.1
    assert found.card is not None
    assert [point.alpha for point in found.card.points] == [0.0, 1.0]
    assert item.extracted
    assert not made(store, bits=bits)[0].extracted


@pytest.mark.parametrize("select", ["critical", "random"])
def test_its_tensors_are_the_layers_selected_up_to_the_kept_epoch(
    store: Store, select: str
) -> None:
    item, recipe = made(store, select=select, every_steps=1, judged=0)
    result = fit(
        clean_model(), ClatRecipe.configured(recipe.options()), TRAIN, VALIDATION, TRAINING
    )
    steps = result.best.epoch * 3  # 36 images, 12 a step
    layers = {layer for one in recipe.selections if one.step < steps for layer in one.layers}
    assert len(recipe.selections) == 12
    assert set(item.patch.tensors) == tensors(*layers)


def test_put_on_and_taken_off_without_a_trace(shared: tuple[SweepItem, ClatRecipe]) -> None:
    patch = Patch.from_bytes(shared[0].patch.at_bits(8).to_bytes())
    live = LiveModel(clean_model(), PatchBag([patch]))
    before = {name: t.clone() for name, t in live.variant({}).state().items()}
    images = VALIDATION.images
    clean = live.variant({})(images)
    assert live.apply("clat").patched == tuple(sorted(patch.tensors))
    after = live.variant({"clat": 1.0}).state()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == set(patch.tensors)
    live.clear()
    state = live.variant({}).state()
    assert all(torch.equal(before[name], state[name]) for name in before)
    assert torch.equal(live.variant({})(images), clean)


def test_what_it_trained_is_what_it_puts_on(shared: tuple[SweepItem, ClatRecipe]) -> None:
    item, recipe = shared
    again = ClatRecipe.configured(recipe.options())
    trained = fit(clean_model(), again, TRAIN, VALIDATION, TRAINING).model.state_dict()
    live = LiveModel(clean_model(), PatchBag([item.patch]))
    state = live.variant({"clat": 1.0}).state()
    for name, tensor in trained.items():
        torch.testing.assert_close(state[name], tensor, rtol=1e-6, atol=1e-7, msg=name)


def test_it_buys_adversarial_accuracy(store: Store) -> None:
    recipe = ClatRecipe.configured(
        {
            "k": 2, "steps": 3, "step_size": None, "epsilon": 0.06, "images": 12,
            "inner": "loss", "perturbed": 1.0,
        }
    )  # fmt: skip
    wanted = options(alphas=(1.0,), training=config(8, learning_rate=0.02).model_dump())
    images = pictures(48, size=16, seed=1)
    patch = publish_delta(clean_model(), recipe, TRAIN, images, wanted, store).patch
    assert patch.metadata.card is not None
    clean, whole = patch.metadata.card.points
    assert whole.ra > clean.ra + 15
