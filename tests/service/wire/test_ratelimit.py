import pytest
from hypothesis import given, strategies as st

from rwsstore.errors import ConfigError
from rwsstore_service.settings import Settings
from rwsstore_service.wire.gate import RateLimiter, address_key
from tests.service.wire.asking import Clock

STEPS = st.lists(st.floats(0, 3, allow_subnormal=False), max_size=80)


@given(st.floats(0.01, 1000), st.integers(1, 12), STEPS, st.floats(0, 1e8))
def test_never_more_than_burst_and_rate_in_any_window(
    rate: float, burst: int, steps: list[float], start: float
) -> None:
    clock = Clock(start)
    limiter = RateLimiter(rate, burst, clock=clock)
    taken = []
    for step in steps:
        clock.now += step
        if limiter.take("a") is None:
            taken.append(clock.now)
    for first, begin in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + rate * (taken[last] - begin) + 1e-3


@given(st.floats(0.01, 1000), st.integers(1, 12), STEPS)
def test_never_less_than_was_promised(rate: float, burst: int, steps: list[float]) -> None:
    clock = Clock()
    limiter = RateLimiter(rate, burst, clock=clock)
    for step in steps:
        clock.now += step
        wait = limiter.take("a")
        if wait is not None:
            assert 0 < wait <= 1 / rate * (1 + 1e-5)
            clock.now += wait * 0.9
            assert limiter.take("a") is not None
            clock.now += wait * 0.1001
            assert limiter.take("a") is None


def test_a_burst_then_the_rate() -> None:
    clock = Clock()
    limiter = RateLimiter(2.0, 3, clock=clock)
    assert [limiter.take("a") for _ in range(4)] == [None, None, None, 0.5]
    clock.now += 0.5
    assert [limiter.take("a") for _ in range(2)] == [None, 0.5]
    clock.now += 3600
    assert [limiter.take("a") for _ in range(4)] == [None, None, None, 0.5]


def test_keys_do_not_share() -> None:
    limiter = RateLimiter(1.0, 1, clock=Clock())
    assert limiter.take("a") is None
    assert limiter.take("a") is not None
    assert limiter.take("b") is None


def test_zero_is_no_limit_and_remembers_nobody() -> None:
    limiter = RateLimiter(0.0, 1, clock=Clock())
    assert all(limiter.take("a") is None for _ in range(1000))
    assert len(limiter) == 0


def test_the_table_is_bounded() -> None:
    limiter = RateLimiter(1.0, 1, clock=Clock(), capacity=100)
    for number in range(1000):
        assert limiter.take(f"key {number}") is None
    assert len(limiter) == 100
    assert limiter.take("key 999") is not None


def test_who_is_refused_again_and_again_is_not_forgotten() -> None:
    limiter = RateLimiter(1.0, 1, clock=Clock(), capacity=10)
    assert limiter.take("pest") is None
    for number in range(100):
        assert limiter.take("pest") is not None
        assert limiter.take(f"key {number}") is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "192.0.2.1", False),
        ("socket", "socket", True),
    ],
)
def test_addresses(one: str, other: str, same: bool) -> None:
    assert (address_key(one) == address_key(other)) == same


def test_a_rate_too_small_to_compute_with_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^RWS_RATE_LIMIT is 0 for no limit"):
        Settings.of(rate_limit=5e-324)
