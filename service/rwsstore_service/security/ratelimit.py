"""So many requests a second for each token, or address where there is none."""

__all__ = ["RateLimiter", "address_key"]

import time
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address


class RateLimiter:
    """A token bucket for each key, in a table of bounded size.

    A bucket is kept as the one moment at which it will be full again (the generic cell rate
    algorithm of ITU-T I.371), so that taking from it needs constant time and no timer. When the
    table is full, the key that was used longest ago is forgotten: its bucket counts as full.

    Args:
        rate: requests a second; 0 is no limit.
        burst: requests that may come at once.
        clock: seconds, never going back.
        capacity: most keys that are remembered.
    """

    def __init__(
        self,
        rate: float,
        burst: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        capacity: int = 10_000,
    ) -> None:
        self._interval = 1 / rate if rate else 0.0
        self._burst = burst
        self._clock = clock
        self._capacity = capacity
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: str) -> float | None:
        """Take one request; give None if it may go on, else the seconds until one may.

        A request that is refused takes nothing.
        """
        if not self._interval:
            return None
        if key in self._full_at:
            self._full_at.move_to_end(key)
        now = self._clock()
        full_at = max(self._full_at.get(key, now), now)
        wait = full_at - now - (self._burst - 1) * self._interval
        # Less than a millionth of an interval is the rounding of the clock, not a request too many.
        if wait > 1e-6 * self._interval:
            return wait
        self._full_at[key] = full_at + self._interval
        if len(self._full_at) > self._capacity:
            self._full_at.popitem(last=False)
        return None


@lru_cache(maxsize=1024)  # it is asked once a request, and connections send many
def address_key(address: str) -> str:
    """Give the part of an address that one client cannot choose: IPv4 whole, IPv6 its /64."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address  # a local socket
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed), 64), strict=False))
