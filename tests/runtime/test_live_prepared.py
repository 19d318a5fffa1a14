"""Variants that are prepared first and activated later, and what stays in memory."""

import gc
import weakref

import pytest

from rwsstore.canonical import Digest
from rwsstore.errors import UnknownPatchError
from rwsstore.patches import Patch, compose
from rwsstore.runtime import LiveModel, PatchBag, compute_format
from tests.runtime.making import a_patch, equal_bits, pixels
from tests.training.tiny import two_convs

MODEL = two_convs()
FOG, SNOW = a_patch(MODEL, "fog", seed=0), a_patch(MODEL, "snow", seed=1)


class Shelf:
    """A source that reads a patch anew each time, as a store does, and can be taken away."""

    def __init__(self, *patches: Patch) -> None:
        self.files = {patch.name: patch.to_bytes() for patch in patches}
        self.reads: list[str] = []

    def resolve(self, ref: str) -> Digest:
        return self.get(ref).digest

    def get(self, ref: str) -> Patch:
        self.reads.append(ref)
        for name, data in self.files.items():
            patch = Patch.from_bytes(data)
            if ref in (name, patch.digest):
                return patch
        raise UnknownPatchError(f"no patch {ref!r}")


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(FOG, SNOW, compose("both", [(FOG, 0.5), (SNOW, 0.25)]))


def test_a_prepared_variant_becomes_active_without_its_source(shelf: Shelf) -> None:
    live = LiveModel(MODEL, shelf)
    prepared = live.variant({"both": None})
    assert live.active.digest != prepared.digest
    shelf.files.clear()
    live.activate(prepared)
    assert live.active is live.current is prepared
    assert live.verify().ok


def test_what_was_activated_comes_off_by_digest_or_name(shelf: Shelf) -> None:
    live = LiveModel(MODEL, shelf)
    live.activate(live.variant({"fog": 0.5, "snow": 0.5}))
    assert live.remove("fog").names == {SNOW.digest: "snow"}
    assert live.remove(SNOW.digest).names == {}


def test_a_patch_at_hand_is_not_read_again_by_its_digest(shelf: Shelf) -> None:
    live = LiveModel(MODEL, shelf)
    live.apply("fog", 0.5)
    shelf.reads.clear()
    assert live.variant({FOG.digest: 0.7}).names == {FOG.digest: "fog"}
    assert not shelf.reads


def test_patches_leave_memory_with_the_variants_that_use_them(shelf: Shelf) -> None:
    live = LiveModel(MODEL, shelf, resident_bytes=0)
    held = weakref.ref(live.variant({"fog": 0.5}).sources[FOG.digest])
    assert held() is not None
    live.variant({"snow": 0.5})
    gc.collect()
    assert held() is None
    assert live.resident == 1
    assert live.variant({"fog": 0.5}).names == {FOG.digest: "fog"}  # it is read again


def test_what_is_active_stays_in_memory(shelf: Shelf) -> None:
    live = LiveModel(MODEL, shelf, resident_bytes=0)
    live.apply("fog", 0.5)
    for alpha in (0.1, 0.2, 0.3):
        live.variant({"snow": alpha})
    shelf.files.clear()
    assert live.verify().ok
    assert live.variant({FOG.digest: 0.5}) is live.active


def test_a_prepared_variant_is_in_the_format_before_it_predicts() -> None:
    model = LiveModel(MODEL, PatchBag([FOG]), compute=compute_format("packed"))
    images = pixels()
    early = model.variant({"fog": 0.5})
    model.prepare(early)  # the model itself is not in it yet: nothing to do
    assert early.in_use(model._engine.conversion) is None
    model(images)
    variant, other = model.variant({"fog": 0.75}), model.variant({"fog": 1.0})
    model.prepare(variant)
    conversion = model._engine.conversion
    assert conversion is not None
    assert variant.in_use(conversion) is not None
    assert other.in_use(conversion) is None
    fresh = LiveModel(MODEL, PatchBag([FOG]), compute=compute_format("packed"))
    wanted = fresh.predict_mixed(images, [fresh.variant({"fog": 0.75})] * len(images))
    found = model.predict_mixed(images, [variant] * len(images))
    assert equal_bits(found, wanted)
