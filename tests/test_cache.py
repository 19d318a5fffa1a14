"""A cache keeps what was used last, within its bound."""

import pytest

from rwsstore.cache import LruCache


def test_the_one_not_asked_for_the_longest_goes() -> None:
    cache = LruCache[str, int](2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert [cache.get(key) for key in "abc"] == [1, None, 3]
    assert len(cache) == 2


def test_a_new_value_takes_the_place_of_the_old_one() -> None:
    cache = LruCache[str, int](10)
    for value in range(5):
        cache.put("a", value, weight=6)
    cache.put("b", 7, weight=4)
    assert (cache.get("a"), cache.get("b")) == (4, 7)


def test_weights_are_summed_up() -> None:
    cache = LruCache[str, int](10)
    cache.put("a", 1, weight=4)
    cache.put("b", 2, weight=4)
    cache.put("c", 3, weight=4)
    assert [cache.get(key) for key in "abc"] == [None, 2, 3]


def test_one_above_the_limit_is_not_kept() -> None:
    cache = LruCache[str, int](10)
    cache.put("b", 2, weight=9)
    cache.put("a", 1, weight=11)
    assert (cache.get("a"), cache.get("b")) == (None, 2)


def test_a_value_is_made_once() -> None:
    cache = LruCache[str, int](2)
    assert cache.find("a", lambda: 1) == 1
    assert cache.find("a", lambda: pytest.fail("made again")) == 1


def test_nothing_is_kept_of_what_could_not_be_made() -> None:
    cache = LruCache[str, int](2)
    with pytest.raises(ZeroDivisionError):
        cache.find("a", lambda: 1 // 0)
    assert cache.find("a", lambda: 1) == 1
