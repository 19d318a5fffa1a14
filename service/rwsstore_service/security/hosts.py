"""The names that a service answers to.

A page on the web can have its own name resolve to 127.0.0.1 and then speak to a service there as
its own origin (DNS rebinding). What it cannot change is the Host header, which holds that name.
Such a name is one of the public DNS, so it has a dot; addresses and names of one word are none.
"""

__all__ = ["Hosts"]

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Self

from rwsstore_service.problems import ProblemError
from rwsstore_service.settings import Settings

_HOST = re.compile(r"([a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?", re.IGNORECASE)
_WORD = re.compile(r"[a-z0-9-]{1,63}")


@dataclass(frozen=True)
class Hosts:
    """Which Host headers are answered.

    Attributes:
        names: those with a dot that are answered, in lower case, without ports; None answers to
            every name. Addresses and names of one word (localhost, edge-box) always are.
    """

    names: frozenset[str] | None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Take the names from the settings; without any, only a loopback address is choosy."""
        if not settings.on_loopback and not settings.allowed_hosts:
            return cls(None)
        return cls(frozenset(name.lower() for name in settings.allowed_hosts))

    def check(self, values: Sequence[str]) -> None:
        """Refuse a request by the values of its Host header: one is expected.

        Raises:
            ProblemError: `misdirected`.
        """
        if self.names is None:
            return
        match = _HOST.fullmatch(values[0]) if len(values) == 1 else None
        if match is None or not self._answers(match[1].lower()):
            raise ProblemError(
                "misdirected",
                "the Host header holds a name that this service does not answer to; use "
                "localhost or an address, or name the host in RWS_ALLOWED_HOSTS",
            )

    def _answers(self, name: str) -> bool:
        assert self.names is not None  # noqa: S101  (asked before)
        return name in self.names or bool(_WORD.fullmatch(name)) or _is_address(name)


@lru_cache(maxsize=256)  # most requests name the same
def _is_address(name: str) -> bool:
    try:
        ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
