"""What the REST benchmark stops with."""

__all__ = ["BenchmarkError", "NotInstalledError"]

from rwsstore.errors import RwsError


class BenchmarkError(RwsError):
    """A service did not start, ended, or answered with errors: its figures mean nothing."""


class NotInstalledError(RwsError):
    """A rival is not installed; the message says how it is. Its row is left out."""
