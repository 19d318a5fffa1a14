"""One way to say that something does not hold."""

__all__ = ["expect"]

from scripts.boxtest.engine import Failed


def expect(what: str, found: object, wanted: object) -> None:
    """Compare what was found with what was wanted.

    Raises:
        Failed: they differ.
    """
    if found != wanted:
        raise Failed(f"{what}: found {found!r}, expected {wanted!r}")
