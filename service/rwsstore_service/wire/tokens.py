"""The tokens that the settings name, and the one that a start makes where they name none."""

import re
import secrets
from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr

from rwsstore.errors import ConfigError, RwsError
from rwsstore.files import read_bounded
from rwsstore_service.settings import Settings
from rwsstore_service.wire.gate import Principal, Role, Tokens

LOCAL_NAME = "local"
"""The name of the admin token that is made where none is configured."""

_MAX_FILE_BYTES = 64 * 1024
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TOKEN = re.compile(r"[!-+\--~]{1,512}")  # visible ASCII without the comma


def provide_tokens(
    settings: Settings, *, make: Callable[[], str] = secrets.token_urlsafe
) -> tuple[Tokens, str | None]:
    """Read the configured tokens; on a loopback address without an admin's, make one.

    Returns:
        The tokens, and the one that was made: to be printed once, it cannot be read back. None
        where an admin token is configured.

    Raises:
        ConfigError: a token cannot be used, or the address needs an admin token and has none.
    """
    tokens = read_tokens(settings)
    if tokens.has("admin"):
        return tokens, None
    if not settings.on_loopback:
        raise ConfigError(
            f"{settings.host} is reached from other machines, and no admin token is configured: "
            "set RWS_ADMIN_TOKENS=operator:TOKEN or RWS_ADMIN_TOKENS_FILE; make a token with "
            "python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    made = make()
    where = f"the admin token {LOCAL_NAME!r} that is made where RWS_ADMIN_TOKENS is not set"
    tokens.add(Principal(LOCAL_NAME, "admin"), made, where)
    return tokens, made


def read_tokens(settings: Settings) -> Tokens:
    """Read the tokens that the settings and their files name.

    Raises:
        ConfigError: an entry cannot be used; the message says which and shows no token.
    """
    tokens = Tokens()
    sources: tuple[tuple[Role, SecretStr, Path | None], ...] = (
        ("admin", settings.admin_tokens, settings.admin_tokens_file),
        ("predict", settings.predict_tokens, settings.predict_tokens_file),
    )
    for role, given, path in sources:
        variable, text = f"RWS_{role.upper()}_TOKENS", given.get_secret_value()
        for number, item in enumerate(text.split(",") if text else (), start=1):
            _add(tokens, role, item.strip(), f"{variable}, entry {number}")
        if path is not None:
            for number, line in _lines(path, f"{variable}_FILE"):
                _add(tokens, role, line, f"{variable}_FILE, line {number}")
    return tokens


def _lines(path: Path, variable: str) -> list[tuple[int, str]]:
    """The numbered lines of a token file that are neither empty nor a comment."""
    try:
        data = read_bounded(path.expanduser(), limit=_MAX_FILE_BYTES, what="token file")
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise ConfigError(f"{variable}: {path} is not UTF-8 text") from None
    except RwsError as error:
        raise ConfigError(f"{variable}: {error}") from error
    found = [
        (number, line.strip())
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not found:  # an empty file must not open what its owner meant to close
        raise ConfigError(f"{variable}: {path} holds no name:token; write one a line")
    return found


def _add(tokens: Tokens, role: Role, item: str, where: str) -> None:
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
    tokens.add(Principal(name, role), token, where)
