"""Where the service is and what opens it."""

import os
from dataclasses import dataclass, field
from ipaddress import ip_address

import httpx

DEFAULT_URL = "http://127.0.0.1:8000"

# A busy service lets requests queue; a connection is there at once or not at all.
DEFAULT_TIMEOUT = httpx.Timeout(60.0, connect=5.0)


@dataclass(frozen=True)
class Address:
    """A service.

    Attributes:
        url: where it is, without a final slash.
        token: what opens it; never shown.
    """

    url: str
    token: str | None = field(repr=False)

    @property
    def on_loopback(self) -> bool:
        """Whether it runs on this machine, so that no proxy may stand between."""
        host = httpx.URL(self.url).host
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}


def resolve(url: str | None, token: str | None) -> Address:
    """Take what was given, else RWS_URL and RWS_TOKEN, else the default; "" is no token.

    Raises:
        ValueError: that is no URL, or no token.
    """
    found = url if url is not None else os.environ.get("RWS_URL", "").strip() or DEFAULT_URL
    secret = token if token is not None else os.environ.get("RWS_TOKEN", "")
    return Address(_checked_url(found), _checked_token(secret.strip()))


def _checked_url(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{url!r} is no URL: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError(f"{url!r} is no URL of a service; expected http://host:port")
    if parsed.userinfo:
        raise ValueError("the URL holds a user or password; give the token as token= instead")
    if parsed.query or parsed.fragment:
        raise ValueError(f"the URL {url!r} holds more than an address; expected http://host:port")
    return str(parsed).rstrip("/")


def _checked_token(token: str) -> str | None:
    if not all("!" <= sign <= "~" for sign in token):
        raise ValueError("the token holds a sign that is not visible ASCII (a space, a line end?)")
    return token or None
