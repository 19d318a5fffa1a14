"""What a name, a digest and a reference may look like; nothing else ever becomes a path."""

import re
from dataclasses import dataclass

from rwsstore.canonical import Digest
from rwsstore.errors import ConfigError
from rwsstore.patches import NAME_PATTERN

MAX_NAME = 64
MIN_PREFIX = 8

RESERVED = frozenset({"active", "bundled", "none"})
"""Words that stand for a patch set or a model where a patch's name could stand."""

_NAME = re.compile(NAME_PATTERN)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PREFIX = re.compile(rf"[0-9a-f]{{{MIN_PREFIX},64}}")
_VERSION = re.compile(r"[1-9][0-9]{0,5}")


@dataclass(frozen=True)
class Reference:
    """What a caller named: a name, perhaps with its version, or a digest's first digits.

    Attributes:
        name: the name; empty where a digest was given.
        version: from 1 on; None for the latest.
        prefix: 8 to 64 hexadecimal digits; empty where a name was given.
    """

    name: str = ""
    version: int | None = None
    prefix: Digest = ""


def check_name(name: str) -> str:
    """Return a name that may be published.

    Raises:
        ConfigError: it does not match the pattern, is over 64 characters, is reserved, or looks
            like a digest.
    """
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        raise ConfigError(
            f"{_short(name)} is not a patch name: lower-case letters and digits in words joined by "
            f"single '_', '.' or '-', a letter first, at most {MAX_NAME} characters."
        )
    if name in RESERVED:
        raise ConfigError(f"{name!r} has a meaning of its own in patch sets: choose another name.")
    if _PREFIX.fullmatch(name):
        raise ConfigError(f"{name!r} looks like a digest: choose a name with a letter beyond 'f'.")
    return name


def check_digest(digest: str) -> Digest:
    """Return a digest of the one form that is accepted.

    Raises:
        ConfigError: it is not 64 lower-case hexadecimal digits.
    """
    if not _DIGEST.fullmatch(digest):
        raise ConfigError(f"{_short(digest)} is not a digest: 64 lower-case hexadecimal digits.")
    return digest


def parse_reference(text: str) -> Reference:
    """Read `name`, `name@2`, a digest, or a prefix of at least 8 of its digits.

    Raises:
        ConfigError: it is none of these.
    """
    if _PREFIX.fullmatch(text):
        return Reference(prefix=text)
    name, at, version = text.partition("@")
    if not at:
        return Reference(name=check_name(name))
    if not _VERSION.fullmatch(version):
        raise ConfigError(f"{_short(text)}: {_short(version)} is not a version number from 1 on.")
    return Reference(name=check_name(name), version=int(version))


def _short(text: str) -> str:
    shown = ascii(text[:60])
    return shown if len(text) <= 60 else f"{shown}... ({len(text)} characters)"
