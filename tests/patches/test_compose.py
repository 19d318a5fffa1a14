import pytest
import torch
from hypothesis import given, strategies as st

from rwsstore.errors import ConfigError, MismatchError
from rwsstore.patches import AlphaRange, Patch, PatchSet, compose, patched_tensor
from rwsstore.patches.algebra import scale
from tests.patches.factory import SHAPES, make_test_patch

WEIGHT = "network.conv1.weight"
FOG, BLUR, SNOW = (
    make_test_patch(name, seed=seed) for seed, name in enumerate(("fog", "blur", "snow"))
)
PATCHES = {patch.digest: patch for patch in (FOG, BLUR, SNOW)}


def weights(chosen: PatchSet) -> torch.Tensor:
    clean = torch.randn(SHAPES[WEIGHT], generator=torch.Generator().manual_seed(5))
    parts = [(PATCHES[digest].tensors[WEIGHT], alpha) for digest, alpha in chosen]
    return patched_tensor(WEIGHT, clean, parts)


def test_it_names_its_parts_and_holds_no_tensors() -> None:
    both = compose("both", [(FOG, 0.6), (BLUR, 0.4)])
    assert both.metadata.kind == "composed"
    assert both.parts == tuple(sorted([(FOG.digest, 0.6), (BLUR.digest, 0.4)]))
    assert not both.tensors
    assert both.golden is None
    assert both.payload_bytes == 0
    assert both.metadata.clean_weights == FOG.metadata.clean_weights
    assert both.metadata.model == FOG.metadata.model


def test_the_order_does_not_matter() -> None:
    one = compose("both", [(FOG, 0.6), (BLUR, 0.4)])
    assert compose("both", [(BLUR, 0.4), (FOG, 0.6)]).to_bytes() == one.to_bytes()


def test_it_is_stored_and_read() -> None:
    both = compose("both", [(FOG, 0.6), (BLUR, 0.4)])
    again = Patch.from_bytes(both.to_bytes())
    assert again.parts == both.parts
    assert again.digest == both.digest


@given(st.floats(0, 2), st.floats(0.01, 2), st.floats(0.01, 2))
def test_it_equals_the_set_to_the_bit(alpha: float, fog: float, blur: float) -> None:
    both = compose("both", [(FOG, fog), (BLUR, blur)])
    strength = min(alpha, both.metadata.alpha.maximum)
    composed = PatchSet.of([(both, strength)])
    assert composed == PatchSet.of([(FOG, strength * fog), (BLUR, strength * blur)])
    plain = PatchSet.of([(FOG, strength * fog), (BLUR, strength * blur)])
    assert torch.equal(weights(composed), weights(plain))


def test_nested_compositions_are_resolved() -> None:
    inner = compose("inner", [(FOG, 0.5), (BLUR, 1.0)])
    outer = compose("outer", [(inner, 0.5), (SNOW, 0.75)])
    expected = sorted([(FOG.digest, 0.25), (BLUR.digest, 0.5), (SNOW.digest, 0.75)])
    assert outer.parts == tuple(expected)


def test_alpha_zero_leaves_a_part_out() -> None:
    assert compose("one", [(FOG, 0.0), (BLUR, 1.0)]).parts == ((BLUR.digest, 1.0),)


def test_its_range_keeps_every_part_in_its_own() -> None:
    narrow = make_test_patch(
        "narrow", seed=7, alpha=AlphaRange(recommended=1.0, minimum=0.5, maximum=1.5)
    )
    both = compose("both", [(narrow, 1.25), (FOG, 0.1)])
    assert both.metadata.alpha == AlphaRange(recommended=1.0, minimum=0.4, maximum=1.2)
    assert compose("all", [(FOG, 2.0)]).metadata.alpha.maximum == 1.0
    assert compose("left", [(narrow, 1.0), (FOG, 0.0)]).metadata.alpha == narrow.metadata.alpha


@given(st.floats(0.5, 1.5), st.sampled_from(["minimum", "maximum"]))
def test_the_ends_of_its_range_are_allowed_for_the_part(alpha: float, end: str) -> None:
    bounds = AlphaRange(recommended=1.0, minimum=0.5, maximum=1.5)
    narrow = make_test_patch(alpha=bounds)
    composed = compose("one", [(narrow, alpha)])
    ((_, strength),) = PatchSet.of([(composed, getattr(composed.metadata.alpha, end))])
    assert bounds.check(strength, "narrow") == strength


def test_tiny_parts_have_a_capped_range() -> None:
    assert compose("tiny", [(FOG, 5e-324)]).metadata.alpha.maximum == 1e6


@pytest.mark.parametrize("name", ["", "No Name", "../fog", "a" * 65, "fog\n", "\ud800"])
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="name: "):
        compose(name, [(FOG, 1.0)])


def test_nothing_and_only_zeros_are_refused() -> None:
    with pytest.raises(ConfigError, match="no part with an alpha other than 0"):
        compose("none_left", [])
    with pytest.raises(ConfigError, match="no part with an alpha other than 0"):
        compose("none_left", [(FOG, 0.0), (BLUR, 0.0)])


def test_duplicates_are_refused() -> None:
    inner = compose("inner", [(FOG, 0.5)])
    for chosen in ([(FOG, 1.0), (FOG, 0.5)], [(FOG, 1.0), (inner, 1.0)]):
        with pytest.raises(ConfigError, match="is in the set twice"):
            compose("twice", chosen)


def test_different_models_are_refused() -> None:
    other = make_test_patch("other", weights="other weights")
    with pytest.raises(MismatchError, match="'fog' and 'other' were extracted from different"):
        compose("both", [(FOG, 1.0), (other, 1.0)])


@pytest.mark.parametrize("alpha", [-1.0, 2.5, float("nan"), float("inf"), True])
def test_alphas_out_of_range_are_refused(alpha: float) -> None:
    with pytest.raises(ConfigError, match="alpha of 'fog'"):
        compose("both", [(BLUR, 1.0), (FOG, alpha)])


def test_products_beyond_what_is_stored_are_refused() -> None:
    huge = make_test_patch(alpha=AlphaRange(maximum=1e6))
    inner = compose("inner", [(huge, 1e5)])
    assert inner.metadata.alpha.maximum == 10.0
    with pytest.raises(ConfigError, match="alpha of 'inner' is"):
        compose("outer", [(inner, 11.0)])


@given(st.floats(0.01, 2.0), st.floats(0.0, 1.0))
def test_a_scaled_patch_is_the_patch_at_the_product(alpha: float, strength: float) -> None:
    scaled = scale(FOG, alpha, name="scaled")
    assert PatchSet.of([(scaled, strength)]) == PatchSet.of([(FOG, alpha * strength)])
    assert scaled.metadata.alpha.maximum * alpha <= FOG.metadata.alpha.maximum


def test_a_patch_is_not_scaled_to_nothing() -> None:
    with pytest.raises(ConfigError, match="no part with an alpha other than 0"):
        scale(FOG, 0.0, name="scaled")
