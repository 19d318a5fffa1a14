import pytest
from hypothesis import given, settings, strategies as st

from rwsstore.errors import ConfigError
from rwsstore.patches import MAX_PATCHES, AlphaRange, Patch, PatchSet, compose, parse_request
from rwsstore.patches.algebra import parse_alpha
from rwsstore.patches.metadata import Part
from tests.patches.factory import make_test_patch

FOG, BLUR, SNOW = (
    make_test_patch(name, seed=seed) for seed, name in enumerate(("fog", "blur", "snow"))
)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", {}),
        ("none", {}),
        (" none ", {}),
        ("fog", {"fog": None}),
        ("fog=0.6", {"fog": 0.6}),
        ("fog=0.6,gaussian_blur=0.4", {"fog": 0.6, "gaussian_blur": 0.4}),
        (" fog = 0.6 , snow ", {"fog": 0.6, "snow": None}),
        ("fog@2=1e-3", {"fog@2": 0.001}),
        ("fog=0", {"fog": 0.0}),
        ("fog=+1.", {"fog": 1.0}),
    ],
)
def test_parse_request(text: str, wanted: dict[str, float | None]) -> None:
    assert parse_request(text) == wanted


@settings(deadline=None)
@given(
    st.dictionaries(
        st.text("abcz019@_.-", min_size=1, max_size=9),
        st.none() | st.floats(0, 1e6),
        max_size=5,
    )
)
def test_what_is_written_is_read(wanted: dict[str, float | None]) -> None:
    items = [name if alpha is None else f"{name}={alpha!r}" for name, alpha in wanted.items()]
    assert parse_request(",".join(items)) == wanted


BAD_ALPHAS = (
    "", "nan", "NaN", "inf", "-inf", "Infinity", "1e400", "-1e400", "true", "True", "None", "1;5",
    "1_0", "0x1", "½", "١", "1\x000", "1 0", "--1", "1=1", "9" * 5000 + "x",
)  # fmt: skip


@pytest.mark.parametrize("text", BAD_ALPHAS)
def test_alphas_that_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a finite number") as error:
        parse_alpha(text)
    assert len(str(error.value)) < 400
    with pytest.raises(ConfigError):
        parse_request(f"fog={text}")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("fog,fog", "'fog' is named twice"),
        ("fog=0.5, fog =0.5", "'fog' is named twice"),
        (",", "is not a patch set"),
        ("fog,", "is not a patch set"),
        ("=0.5", "is not a patch set"),
        ("," * 100_000, "is not a patch set"),
    ],
)
def test_requests_that_are_refused(text: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match) as error:
        parse_request(text)
    assert len(str(error.value)) < 400


def test_a_set_stands_by_digest() -> None:
    chosen = PatchSet.of([(FOG, 0.5), (BLUR, 1), (SNOW, 1.5)])
    expected = sorted([(FOG.digest, 0.5), (BLUR.digest, 1.0), (SNOW.digest, 1.5)])
    assert list(chosen) == expected
    assert len(chosen) == 3
    assert all(type(alpha) is float for _, alpha in chosen)


@settings(deadline=None)
@given(st.permutations([(FOG, 0.5), (BLUR, 0.25), (SNOW, 2.0)]))
def test_the_order_of_requests_does_not_matter(chosen: list[tuple[Patch, float]]) -> None:
    one, other = PatchSet.of(iter(chosen)), PatchSet.of(chosen[::-1])
    assert one == other
    assert hash(one) == hash(other)


def test_alpha_zero_drops_the_patch() -> None:
    assert PatchSet.of([(FOG, 0.0), (BLUR, -0.0)]) == PatchSet()
    assert not PatchSet.of([])
    assert list(PatchSet.of([(FOG, 0.0), (SNOW, 1.0)])) == [(SNOW.digest, 1.0)]


def test_a_composed_patch_expands_to_its_parts() -> None:
    both = compose("both", [(FOG, 0.5), (BLUR, 0.25)])
    expected = PatchSet.of([(FOG, 0.75), (BLUR, 0.375), (SNOW, 1.0)])
    assert PatchSet.of([(SNOW, 1.0), (both, 1.5)]) == expected
    assert PatchSet.of([(both, 0.0)]) == PatchSet()


def test_a_part_whose_strength_rounds_to_zero_is_dropped() -> None:
    tiny = compose("tiny", [(FOG, 1e-300), (BLUR, 0.5)])
    assert list(PatchSet.of([(tiny, 1e-300)])) == [(BLUR.digest, 0.5e-300)]


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_the_same_patch_twice_is_refused(alpha: float) -> None:
    both = compose("both", [(FOG, 0.5), (BLUR, 0.5)])
    for chosen in ([(FOG, alpha), (FOG, 1.0)], [(FOG, alpha), (both, 1.0)], [(both, 1.0)] * 2):
        with pytest.raises(ConfigError, match="is in the set twice"):
            PatchSet.of(chosen)


def test_the_same_bytes_under_two_objects_are_the_same_patch() -> None:
    with pytest.raises(ConfigError, match="is in the set twice"):
        PatchSet.of([(FOG, 1.0), (Patch.from_bytes(FOG.to_bytes()), 0.5)])


@pytest.mark.parametrize(
    "alpha", [-0.1, 2.1, float("nan"), float("inf"), 1e30, 10**400, True, "1", None]
)
def test_alphas_out_of_the_patchs_range_are_refused(alpha: float) -> None:
    with pytest.raises(ConfigError, match="alpha of 'fog' is"):
        PatchSet.of([(BLUR, 1.0), (FOG, alpha)])


def test_the_range_is_the_patchs_own() -> None:
    wide = make_test_patch(alpha=AlphaRange(recommended=3.0, minimum=1.0, maximum=5.0))
    assert list(PatchSet.of([(wide, 5)])) == [(wide.digest, 5.0)]
    with pytest.raises(ConfigError, match="takes 1 to 5"):
        PatchSet.of([(wide, 0.5)])


def test_a_set_has_a_cap() -> None:
    base = compose("base", [(FOG, 1.0)])
    parts = tuple(Part(digest=f"{n:064x}", alpha=1.0) for n in range(MAX_PATCHES))
    full = Patch.build(base.metadata.revised(parts=parts), {}, None)
    assert len(PatchSet.of([(full, 1.0)])) == MAX_PATCHES
    with pytest.raises(ConfigError, match="1001 patches in one set; at most 1000"):
        PatchSet.of([(full, 1.0), (FOG, 1.0)])
