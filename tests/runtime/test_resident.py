import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from rwsstore.errors import GoldenError
from rwsstore.patches import Patch, PatchSet
from rwsstore.runtime import CleanModel, LiveModel, PatchBag, Variant
from rwsstore.runtime.variant import Resident, build_variant
from tests.runtime.making import MODELS, bare_patch
from tests.training.tiny import two_convs

_MODEL = two_convs()
_CLEAN = CleanModel.of(_MODEL)
_PATCHES = [bare_patch(_MODEL, f"patch{seed}", seed=seed) for seed in range(4)]
_OWN = sum(4 * _MODEL.state_dict()[name].numel() for name in _PATCHES[0].tensors)


def _variant(alphas: Mapping[int, float]) -> Variant:
    chosen = [(_PATCHES[number], alpha) for number, alpha in alphas.items()]
    return build_variant(_CLEAN, PatchSet.of(chosen), {patch.digest: patch for patch, _ in chosen})


def _find(resident: Resident, alphas: Mapping[int, float]) -> Variant:
    variant = _variant(alphas)
    return resident.find(variant.patches, lambda: variant)


def _memory(*patches: Patch) -> int:
    return sum(patch.memory_bytes for patch in patches)


def test_heads_are_counted_each_and_patches_once() -> None:
    resident = Resident(1 << 30)
    _find(resident, {0: 0.5})
    assert resident.nbytes == _OWN + _memory(_PATCHES[0])
    _find(resident, {0: 0.6})
    _find(resident, {0: 0.6, 1: 1.0})
    assert resident.nbytes == 3 * _OWN + _memory(_PATCHES[0], _PATCHES[1])
    assert len(resident) == 3


def test_what_goes_is_no_longer_counted() -> None:
    resident = Resident(0)
    for number in range(4):
        variant = _find(resident, {number: 1.0})
        assert len(resident) == 1  # the one used last, even if it is too large
        assert resident.nbytes == _OWN + _memory(_PATCHES[number])
        assert _find(resident, {number: 1.0}) is variant


def test_a_patch_is_counted_as_long_as_one_variant_has_it() -> None:
    resident = Resident(2 * _OWN + _memory(*_PATCHES[:2]))
    _find(resident, {0: 0.5})
    _find(resident, {0: 0.6})
    _find(resident, {1: 1.0})
    assert resident.nbytes == 2 * _OWN + _memory(*_PATCHES[:2])
    _find(resident, {1: 0.5})
    assert resident.nbytes == 2 * _OWN + _memory(_PATCHES[1])


def test_many_who_ask_at_once_get_the_one_that_is_built() -> None:
    resident, begun, go_on = Resident(1 << 30), threading.Event(), threading.Event()
    variant, built = _variant({0: 0.5}), []

    def build() -> Variant:
        begun.set()
        assert go_on.wait(60)
        built.append(variant)
        return variant

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(resident.find, variant.patches, build)
        assert begun.wait(60)
        others = [pool.submit(resident.find, variant.patches, build) for _ in range(7)]
        # Another set is not held up by it.
        assert _find(resident, {1: 1.0}).names
        go_on.set()
        assert all(one.result(60) is variant for one in (first, *others))
    assert built == [variant]


def test_a_failed_build_is_told_to_all_who_wait_and_tried_again() -> None:
    resident, begun, go_on = Resident(1 << 30), threading.Event(), threading.Event()
    variant = _variant({0: 0.5})

    def fail() -> Variant:
        begun.set()
        assert go_on.wait(60)
        raise GoldenError("no")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(resident.find, variant.patches, fail)
        assert begun.wait(60)
        second = pool.submit(resident.find, variant.patches, fail)
        go_on.set()
        for one in (first, second):
            with pytest.raises(GoldenError):
                one.result(60)
    assert resident.nbytes == 0
    assert resident.find(variant.patches, lambda: variant) is variant


def test_a_live_model_builds_a_patch_set_once_for_all_threads() -> None:
    model = MODELS["vgg16"]()
    live = LiveModel(model, PatchBag([bare_patch(model, layers=5)]))
    barrier = threading.Barrier(8)

    def ask(_: int) -> Variant:
        barrier.wait(60)
        return live.variant({"fog": 0.7})

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert all(one is found[0] for one in found)
    assert live.resident == 1
