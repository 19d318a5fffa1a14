import hashlib
import json

from hypothesis import given, strategies as st

from rwsstore.patches import PatchSet
from rwsstore.runtime.variant import state_digest
from tests.patches.factory import make_test_patch

CLEAN = "c" * 64
PAIRS = (("a" * 64, 0.1), ("b" * 64, 1.0))

digests = st.text("0123456789abcdef", min_size=64, max_size=64)
alphas = st.floats(0, 2, exclude_min=True)
patch_sets = st.dictionaries(digests, alphas, max_size=5)


def test_it_is_what_it_was_in_every_version() -> None:
    found = state_digest(CLEAN, PatchSet(PAIRS))
    assert found == "3ff125f44da401cd82607d42e64f5bd85956bb9f6de2340f54de46debadab713"
    empty = state_digest(CLEAN, PatchSet())
    assert empty == "3e798539db93fa488257de873b21fd76dd987d35213ac0599488b815e6519144"


def test_anybody_can_compute_it() -> None:
    pairs = '["' + 64 * "a" + '",0.1],["' + 64 * "b" + '",1.0]'
    text = '{"clean":"' + CLEAN + '","patches":[' + pairs + "]}"
    assert state_digest(CLEAN, PatchSet(PAIRS)) == hashlib.sha256(text.encode()).hexdigest()


def test_a_whole_number_is_hashed_as_a_float() -> None:
    assert state_digest(CLEAN, PatchSet((("a" * 64, 1),))) == state_digest(
        CLEAN, PatchSet((("a" * 64, 1.0),))
    )


def test_the_order_in_which_patches_were_asked_for_does_not_matter() -> None:
    chosen = [(make_test_patch(name, seed=n), 0.5 + n / 10) for n, name in enumerate("abc")]
    assert state_digest(CLEAN, PatchSet.of(chosen)) == state_digest(
        CLEAN, PatchSet.of(chosen[::-1])
    )


@given(patch_sets)
def test_it_is_the_hash_of_plain_json(items: dict[str, float]) -> None:
    pairs = sorted(items.items())
    document = {"clean": CLEAN, "patches": [list(pair) for pair in pairs]}
    text = json.dumps(document, separators=(",", ":"))
    found = state_digest(CLEAN, PatchSet(tuple(pairs)))
    assert found == hashlib.sha256(text.encode()).hexdigest()


@given(digests, alphas, alphas)
def test_another_strength_is_another_digest(digest: str, one: float, other: float) -> None:
    first = state_digest(CLEAN, PatchSet(((digest, one),)))
    second = state_digest(CLEAN, PatchSet(((digest, other),)))
    assert (first == second) == (one == other)


def test_other_clean_weights_or_patches_are_another_digest() -> None:
    found = {
        state_digest(clean, patches)
        for clean in (CLEAN, "d" * 64)
        for patches in (PatchSet(), PatchSet(PAIRS[:1]), PatchSet(PAIRS[1:]), PatchSet(PAIRS))
    }
    assert len(found) == 8
