"""Patches put on and taken off: what is on afterwards, and with which weights."""

import itertools
import random
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

from rwsstore.errors import UnknownPatchError
from rwsstore.models import weights_fingerprint
from rwsstore.patches import AlphaRange, Patch, compose
from rwsstore.runtime import LiveModel, PatchBag, Variant
from rwsstore.store import Store
from tests.runtime.making import MODELS, a_patch, bare_patch, equal_bits, pixels, reference_state
from tests.training.tiny import two_convs

MODEL = two_convs()
NAMES = ("fog", "snow", "frost", "contrast")
PATCHES = {name: a_patch(MODEL, name, seed=n, layers=2) for n, name in enumerate(NAMES)}
IMAGES = pixels()


def live_model(resident: int = 16) -> LiveModel:
    """With room for so many variants of one patch each, and for their patches."""
    bag = PatchBag(PATCHES.values())
    one = LiveModel(MODEL, bag)
    one.apply("fog")
    return LiveModel(MODEL, bag, resident_bytes=resident * one.resident_bytes)


def on(variant: Variant) -> dict[str, float]:
    return {variant.names[digest]: alpha for digest, alpha in variant.patches}


def expected(wanted: dict[str, float], model: nn.Module = MODEL) -> dict[str, Tensor]:
    return reference_state(model, [(PATCHES[name], alpha) for name, alpha in wanted.items()])


def check(variant: Variant, wanted: dict[str, float]) -> None:
    assert on(variant) == wanted
    reference, state = expected(wanted), variant.state()
    assert all(equal_bits(state[name], tensor) for name, tensor in reference.items())


def test_a_new_one_is_the_clean_model() -> None:
    live = live_model()
    check(live.active, {})
    assert live.active.digest == live.variant({}).digest
    with torch.inference_mode():
        assert equal_bits(live(IMAGES), MODEL(IMAGES))


def test_without_patches_it_has_an_empty_bag() -> None:
    with pytest.raises(UnknownPatchError, match="none"):
        LiveModel(MODEL).apply("fog")


def test_set_apply_change_remove_clear() -> None:
    live = live_model()
    check(live.set_patches({"fog": 0.5, "snow": None}), {"fog": 0.5, "snow": 1.0})
    check(live.apply("frost", 0.25), {"fog": 0.5, "snow": 1.0, "frost": 0.25})
    check(live.apply("fog", 2.0), {"fog": 2.0, "snow": 1.0, "frost": 0.25})
    check(live.apply("fog"), {"fog": 1.0, "snow": 1.0, "frost": 0.25})
    check(live.remove("snow"), {"fog": 1.0, "frost": 0.25})
    check(live.set_patches({"contrast": 1.5}), {"contrast": 1.5})
    check(live.clear(), {})
    check(live.active, {})


def test_calling_it_predicts_with_what_is_on() -> None:
    live = live_model()
    live.apply("fog", 0.7)
    model = two_convs()
    model.load_state_dict(expected({"fog": 0.7}))
    with torch.inference_mode():
        assert equal_bits(live(IMAGES), model(IMAGES))
        assert not torch.equal(live(IMAGES), MODEL(IMAGES))


def test_the_recommended_strength_is_the_patchs_own() -> None:
    weaker = bare_patch(MODEL, alpha=AlphaRange(recommended=0.75))
    assert on(LiveModel(MODEL, PatchBag([weaker])).apply("fog")) == {"fog": 0.75}


def test_names_and_digests_mean_the_same_patch() -> None:
    live = live_model()
    digest = PATCHES["fog"].digest
    live.apply("fog", 0.5)
    check(live.apply(digest, 0.75), {"fog": 0.75})
    check(live.remove("fog"), {})
    live.apply("fog", 0.5)
    check(live.remove(digest), {})


def test_strength_zero_is_no_patch() -> None:
    live = live_model()
    check(live.apply("fog", 0), {})
    assert live.active.digest == live.variant({}).digest
    check(live.apply("fog", 0.5), {"fog": 0.5})


def test_a_variant_on_its_own_changes_nothing_for_others() -> None:
    live = live_model()
    live.apply("snow")
    check(live.variant({"fog": 0.5}), {"fog": 0.5})
    check(live.active, {"snow": 1.0})


def test_the_callers_model_and_request_may_change_afterwards() -> None:
    model = two_convs()
    live = LiveModel(model, PatchBag(PATCHES.values()))
    wanted: dict[str, float | None] = {"fog": 0.5}
    live.set_patches(wanted)
    wanted["snow"] = 1.0
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7.0)
    check(live.apply("frost"), {"fog": 0.5, "frost": 1.0})
    check(live.clear(), {})
    assert live.verify().ok


def test_a_composed_patch_equals_its_set_to_the_bit() -> None:
    pair = compose("pair", [(PATCHES["fog"], 0.5), (PATCHES["snow"], 0.8)])
    live = LiveModel(MODEL, PatchBag([*PATCHES.values(), pair]))
    for alpha in (1.0, 0.3, 1.7):
        composed = live.variant({"pair": alpha})
        plain = live.variant({"fog": alpha * 0.5, "snow": alpha * 0.8})
        assert composed.digest == plain.digest
        assert weights_fingerprint(composed.state()) == weights_fingerprint(plain.state())
        check(composed, {"fog": alpha * 0.5, "snow": alpha * 0.8})


def test_a_composed_patch_comes_off_as_one() -> None:
    pair = compose("pair", [(PATCHES["fog"], 0.5), (PATCHES["snow"], 0.8)])
    live = LiveModel(MODEL, PatchBag([*PATCHES.values(), pair]))
    live.apply("pair")
    check(live.apply("frost"), {"fog": 0.5, "snow": 0.8, "frost": 1.0})
    check(live.remove(pair.digest), {"frost": 1.0})


def test_what_is_on_stays_when_its_name_moves() -> None:
    bag = PatchBag(PATCHES.values())
    live = LiveModel(MODEL, bag)
    live.set_patches({"fog": 0.5, "snow": 1.0})
    newer = a_patch(MODEL, "fog", seed=99)
    bag.add(newer)
    check(live.apply("frost"), {"fog": 0.5, "snow": 1.0, "frost": 1.0})
    assert PATCHES["fog"].digest in dict(live.active.patches)
    live.apply("fog", 0.5)
    assert PATCHES["fog"].digest not in dict(live.active.patches)
    assert newer.digest in dict(live.active.patches)


def test_a_patch_that_was_deleted_from_its_source_still_comes_off() -> None:
    class Emptied(PatchBag):
        gone = False

        def get(self, ref: str) -> Patch:
            if self.gone:
                raise UnknownPatchError(ref)
            return super().get(ref)

        def resolve(self, ref: str) -> str:
            if self.gone:
                raise UnknownPatchError(ref)
            return super().resolve(ref)

    source = Emptied(PATCHES.values())
    live = LiveModel(MODEL, source)
    live.set_patches({"fog": 0.5, "snow": 1.0, "frost": 1.0})
    source.gone = True
    check(live.remove("fog"), {"snow": 1.0, "frost": 1.0})
    check(live.remove(PATCHES["snow"].digest), {"frost": 1.0})
    assert live.verify().ok


def test_a_store_finds_patches_by_version(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    old, new = a_patch(MODEL, "fog", seed=1), a_patch(MODEL, "fog", seed=2)
    for patch in (old, new):
        store.publish(patch)
    live = LiveModel(MODEL, store)
    live.apply("fog@1", 0.5)
    assert live.active.patches.items == ((old.digest, 0.5),)
    live.apply(old.digest[:12], 0.75)
    assert live.active.patches.items == ((old.digest, 0.75),)
    live.remove("fog@1")
    live.apply("fog")
    assert live.active.patches.items == ((new.digest, 1.0),)


@settings(max_examples=40, deadline=None)
@given(st.permutations(NAMES), st.lists(st.floats(0.01, 2), min_size=4, max_size=4))
def test_the_order_of_requests_is_irrelevant(order: list[str], alphas: list[float]) -> None:
    strengths = dict(zip(NAMES, alphas, strict=True))
    live = live_model(resident=1)
    for name in order:
        live.apply(name, strengths[name])
    stepwise = live.active
    fresh = live_model().set_patches(strengths)
    assert stepwise.digest == fresh.digest
    assert weights_fingerprint(stepwise.state()) == weights_fingerprint(fresh.state())
    check(stepwise, strengths)


def test_a_thousand_changes_leave_no_trace() -> None:
    live, chance = live_model(resident=2), random.Random(0)
    clean, fingerprint = live(IMAGES), weights_fingerprint(live.active.state())
    for _ in range(1000):
        name = chance.choice(NAMES)
        if name in on(live.active) and chance.random() < 0.5:
            live.remove(name)
        else:
            live.apply(name, chance.choice([0.1, 0.5, 1.0, 1.9]))
    while on(live.active):
        live.remove(chance.choice(sorted(on(live.active))))
    assert equal_bits(live(IMAGES), clean)
    assert weights_fingerprint(live.active.state()) == fingerprint
    assert live.verify().ok


def test_more_variants_than_are_kept_come_out_right_each_time() -> None:
    live = live_model(resident=2)
    wanted = [{name: alpha} for name, alpha in itertools.product(NAMES, (0.5, 1.0))]
    for request in wanted * 2:
        check(live.variant(request), request)


def test_the_variants_used_last_are_kept() -> None:
    live = live_model(resident=2)
    fog, snow = live.variant({"fog": 1.0}), live.variant({"snow": 1.0})
    assert live.variant({"fog": 1.0}) is fog
    live.variant({"frost": 1.0})
    assert live.variant({"fog": 1.0}) is fog
    assert live.variant({"snow": 1.0}) is not snow


def test_the_active_variant_is_kept_whatever_else_is_built() -> None:
    live = live_model(resident=1)
    active = live.apply("fog")
    for name in NAMES[1:]:
        live.variant({name: 1.0})
    assert live.variant({"fog": 1.0}) is active


@pytest.mark.parametrize("kind", ["vgg16", "resnet18", "tied", "twice", "loose", "graph"])
def test_every_kind_of_network_takes_patches_and_comes_back(kind: str) -> None:
    model = MODELS[kind]()
    patch = a_patch(model)
    live = LiveModel(model, PatchBag([patch]))
    clean = live(IMAGES)
    live.apply("fog")
    assert not torch.equal(live(IMAGES), clean)
    assert live.verify().ok
    live.clear()
    assert equal_bits(live(IMAGES), clean)
    assert live.verify().ok
