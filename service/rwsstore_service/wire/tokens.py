"""Bearer tokens: whose they are, without keeping them; what a start needs."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from pydantic import SecretStr

from rwsstore.errors import ConfigError, RwsError
from rwsstore.files import read_bounded
from rwsstore_service.settings import Settings
from rwsstore_service.wire.problems import ProblemError

ANONYMOUS = "anonymous"
"""The actor's name where no token is needed and none was given."""

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="rwsstore"'}
"""The header of every 401."""

Role = Literal["admin", "predict"]
_MAX_FILE_BYTES = 64 * 1024
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TOKEN = re.compile(r"[!-+\--~]{1,512}")  # visible ASCII without the comma
_GUESSABLE = 16
_CREDENTIALS = re.compile(r"bearer {1,8}([!-~]{1,512})", re.IGNORECASE)


@dataclass(frozen=True)
class Principal:
    """Whose token it was.

    Attributes:
        name: of the token.
        role: what it is for.
    """

    name: str
    role: Role


@dataclass(frozen=True)
class _Named:
    """One name:token as it was configured; `where` is all that messages say of it."""

    principal: Principal
    token: str = field(repr=False)
    where: str


class Tokens:
    """The tokens of one process. Only keyed hashes are kept, under a key made at start.

    Args:
        named: what was configured.

    Attributes:
        guessable: names of tokens with less than 16 characters; `create_app` warns of them.

    Raises:
        ConfigError: a name or a token is there twice.
    """

    def __init__(self, named: Iterable[_Named] = ()) -> None:
        self._key = secrets.token_bytes(32)
        self._entries: tuple[tuple[bytes, Principal], ...] = ()
        self.guessable: tuple[str, ...] = ()
        for one in named:
            self._add(one)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Read the tokens that the settings and their files name.

        Raises:
            ConfigError: an entry cannot be used; the message says which and shows no token.
        """
        return cls(_configured(settings))

    def with_admin(self, name: str, token: str) -> "Tokens":
        """Add one admin token; these tokens stay as they are.

        Raises:
            ConfigError: its name is taken, or the token cannot be used.
        """
        where = f"the admin token {name!r} that is made where RWS_ADMIN_TOKENS is not set"
        more = Tokens()
        more._key, more._entries = self._key, self._entries
        more.guessable = self.guessable
        more._add(_parse(f"{name}:{token}", "admin", where))
        return more

    def has(self, role: Role) -> bool:
        """Whether any token is for this role."""
        return any(principal.role == role for _, principal in self._entries)

    def identify(self, authorization: str | None) -> Principal | None:
        """Tell whose token a request's Authorization header holds; None without a header.

        Raises:
            ProblemError: `unauthorized`, the same for a malformed header and a wrong token.
        """
        if authorization is None:
            return None
        match = _CREDENTIALS.fullmatch(authorization)
        principal = self._find(match[1]) if match else None
        if principal is None:
            raise ProblemError(
                "unauthorized",
                "the Authorization header holds no token that is known here; send "
                "'Authorization: Bearer TOKEN', or no such header where no token is needed",
                headers=CHALLENGE,
            )
        return principal

    def _add(self, one: _Named) -> None:
        if any(principal.name == one.principal.name for _, principal in self._entries):
            raise ConfigError(f"{one.where}: its name is another token's too; names are unique")
        if self._find(one.token) is not None:
            raise ConfigError(f"{one.where}: the same token is there under another name")
        self._entries = (*self._entries, (self._digest(one.token), one.principal))
        if len(one.token) < _GUESSABLE:
            self.guessable = (*self.guessable, one.principal.name)

    def _find(self, token: str) -> Principal | None:
        # Every entry is compared, so that time does not tell which one it was.
        digest, found = self._digest(token), None
        for known, principal in self._entries:
            if hmac.compare_digest(known, digest):
                found = principal
        return found

    def _digest(self, token: str) -> bytes:
        return hmac.digest(self._key, token.encode("ascii"), hashlib.sha256)


def _configured(settings: Settings) -> Iterator[_Named]:
    sources: tuple[tuple[Role, str, SecretStr, Path | None], ...] = (
        ("admin", "RWS_ADMIN_TOKENS", settings.admin_tokens, settings.admin_tokens_file),
        ("predict", "RWS_PREDICT_TOKENS", settings.predict_tokens, settings.predict_tokens_file),
    )
    for role, variable, value, path in sources:
        text = value.get_secret_value()
        for number, item in enumerate(text.split(",") if text else (), start=1):
            yield _parse(item.strip(), role, f"{variable}, entry {number}")
        if path is not None:
            yield from _read(path, role, f"{variable}_FILE")


def _read(path: Path, role: Role, variable: str) -> list[_Named]:
    try:
        data = read_bounded(path.expanduser(), limit=_MAX_FILE_BYTES, what="token file")
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise ConfigError(f"{variable}: {path} is not UTF-8 text") from None
    except RwsError as error:
        raise ConfigError(f"{variable}: {error}") from error
    found = [
        _parse(line.strip(), role, f"{variable}, line {number}")
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not found:  # an empty file must not open what its owner meant to close
        raise ConfigError(f"{variable}: {path} holds no name:token; write one a line")
    return found


def _parse(item: str, role: Role, where: str) -> _Named:
    name, colon, token = item.partition(":")
    if not colon or not _NAME.fullmatch(name):
        raise ConfigError(
            f"{where}: expected name:token with a name of 1 to 64 letters, digits, '.', '_', '-'"
        )
    if not _TOKEN.fullmatch(token):
        raise ConfigError(
            f"{where}: its token has {len(token)} characters or one that is not allowed; expected "
            "1 to 512 visible ASCII characters without comma"
        )
    return _Named(Principal(name, role), token, where)


LOCAL_NAME = "local"
"""The name of the admin token that is made where none is configured."""


def provide_tokens(
    settings: Settings, *, make: Callable[[], str] = secrets.token_urlsafe
) -> tuple[Tokens, str | None]:
    """Read the configured tokens; on a loopback address without an admin's, make one.

    Args:
        settings: of the service.
        make: makes a random token.

    Returns:
        The tokens, and the one that was made: to be printed once, it cannot be read back. None
        where an admin token is configured.

    Raises:
        ConfigError: a token cannot be used, or the address needs an admin token and has none.
    """
    tokens = Tokens.of(settings)
    if tokens.has("admin"):
        return tokens, None
    if not settings.on_loopback:
        raise ConfigError(
            f"{settings.host} is reached from other machines, and no admin token is configured: "
            "set RWS_ADMIN_TOKENS=operator:TOKEN or RWS_ADMIN_TOKENS_FILE; make a token with "
            "python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    made = make()
    return tokens.with_admin(LOCAL_NAME, made), made
