"""The names that a service answers to.

A page on the web can have its own name resolve to 127.0.0.1 and then speak to a service there as
its own origin (DNS rebinding). What it cannot change is the Host header, which holds that name.
"""

__all__ = ["Hosts"]

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from rwsstore_service.problems import ProblemError
from rwsstore_service.settings import Settings

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HOST = re.compile(r"([a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?", re.IGNORECASE)


@dataclass(frozen=True)
class Hosts:
    """Which Host headers are answered.

    Attributes:
        names: in lower case, without ports; None answers to every name.
    """

    names: frozenset[str] | None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Take the names from the settings: the loopback ones, and those that are configured."""
        if not settings.on_loopback and not settings.allowed_hosts:
            return cls(None)
        names = {name.lower() for name in settings.allowed_hosts}
        if settings.on_loopback:
            host = settings.host.lower()
            names.add(f"[{host}]" if ":" in host else host)
        return cls(_LOOPBACK | names)

    def check(self, values: Sequence[str]) -> None:
        """Refuse a request by the values of its Host header: one is expected.

        Raises:
            ProblemError: `misdirected`.
        """
        if self.names is None:
            return
        match = _HOST.fullmatch(values[0]) if len(values) == 1 else None
        if match is None or match[1].lower() not in self.names:
            raise ProblemError(
                "misdirected",
                "the Host header holds a name that this service does not answer to; use "
                "localhost, or name the host in RWS_ALLOWED_HOSTS",
            )
