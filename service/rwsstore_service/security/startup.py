"""The tokens that a service starts with: those configured, or one made for this machine."""

__all__ = ["LOCAL_NAME", "provide_tokens"]

import secrets
from collections.abc import Callable

from rwsstore.errors import ConfigError
from rwsstore_service.security.tokens import Tokens
from rwsstore_service.settings import Settings

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
