import itertools

import pytest
import torch

from rwsstore.patches import AlphaRange
from rwsstore.runtime import LiveModel, PatchBag
from rwsstore.speed.subjects import (
    copying,
    forward_each,
    patched_names,
    predicting,
    random_images,
    random_patches,
    strengths,
    switching,
)
from tests.runtime.making import bare_patch, shallow_names
from tests.training.tiny import classifier, two_convs

MODEL = classifier(folded=True)


def test_random_patches_touch_the_shallowest_layers_and_differ() -> None:
    patches = random_patches(MODEL, 3)
    assert [patch.name for patch in patches] == ["patch0", "patch1", "patch2"]
    assert len({patch.digest for patch in patches}) == 3
    assert patched_names(patches) == tuple(sorted(shallow_names(MODEL, 5)))
    assert {patch.metadata.bits for patch in patches} == {8}
    assert [patch.digest for patch in random_patches(MODEL, 3)] == [p.digest for p in patches]


def test_a_network_of_fewer_layers_is_touched_whole() -> None:
    (patch,) = random_patches(two_convs(), 1)
    assert set(patch.tensors) == set(two_convs().state_dict())


def test_random_patches_change_predictions_a_little() -> None:
    patches = random_patches(MODEL, 1)
    live, images = LiveModel(MODEL, PatchBag(patches)), random_images(4, 16)
    clean = live(images)
    patched = live.predict_mixed(images, [live.variant({"patch0": None})] * 4)
    assert 0 < float((patched - clean).abs().max()) < float(clean.abs().max())


def test_random_images_are_bytes_and_follow_from_the_seed() -> None:
    assert random_images(2, 8).shape == (2, 3, 8, 8)
    assert random_images(2, 8).dtype == torch.uint8
    assert torch.equal(random_images(2, 8), random_images(2, 8))
    assert not torch.equal(random_images(2, 8), random_images(2, 8, seed=1))


def test_strengths_stay_in_range_and_never_repeat() -> None:
    limits = AlphaRange(recommended=1.5, minimum=0.5, maximum=2.0)
    found = list(itertools.islice(strengths(bare_patch(MODEL, alpha=limits)), 5000))
    assert found[0] == 1.5
    assert len(set(found)) == 5000
    assert all(limits.check(alpha, "fog") == alpha for alpha in found)


@pytest.mark.parametrize("count", [1, 3])
def test_switching_never_finds_its_variant_ready(count: int) -> None:
    patches = random_patches(MODEL, count)
    live = LiveModel(MODEL, PatchBag(patches))
    switch = switching(live, patches)
    variants = [switch() for _ in range(10)]
    assert len({id(variant) for variant in variants}) == 10
    assert live.resident == 11


def test_copies_are_copies() -> None:
    copied = copying(MODEL, ["network.classifier.bias"])()
    assert isinstance(copied, list)
    original = MODEL.state_dict()["network.classifier.bias"]
    assert torch.equal(copied[0], original)
    assert copied[0].data_ptr() != original.data_ptr()


def test_one_forward_each_is_what_a_mixed_batch_gives() -> None:
    patches, images = random_patches(MODEL, 3), random_images(3, 16)
    live = LiveModel(MODEL, PatchBag(patches))
    variants = [live.variant({patch.name: None}) for patch in patches]
    mixed = predicting(live, images, variants)()
    modules = [variant.module for variant in variants]
    each = forward_each(modules, [image[None] for image in images])()
    assert isinstance(each, list)
    torch.testing.assert_close(torch.cat(each), mixed, rtol=1e-4, atol=1e-5)
