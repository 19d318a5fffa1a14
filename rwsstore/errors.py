"""Every error that rwsstore raises on purpose.

RwsError                                     exit code 1
├── NotFoundError            (LookupError)   exit code 3
│   ├── MissingFileError     (FileNotFoundError)
│   └── UnknownPatchError                    no such name, version or digest in the store
│       └── NotAppliedError                  the patch is not on
├── RefusedError             (ValueError)    exit code 4; nothing was written or changed
│   ├── UnknownNameError                     not a corruption, network, dataset or recipe
│   ├── ConfigError                          a parameter out of its range, or in contradiction
│   ├── FormatError                          bytes that are not what their name promises
│   │   ├── TooLargeError                    more bytes or pixels than are read
│   │   └── UnsupportedError                 a format, or a kind of it, that is not read
│   ├── DataError                            a dataset that cannot be used
│   ├── TensorError                          NaN, infinite or misshapen numbers
│   ├── MismatchError                        a patch that does not belong on this model
│   └── GoldenError                          a patch that does not do what it recorded
├── StoreError                               exit code 1
│   ├── IntegrityError                       stored bytes that changed since they were written
│   ├── ConflictError                        somebody else moved the name first
│   ├── ReadOnlyError        (PermissionError)
│   └── StorageFullError     (OSError)       no space left, or the device failed while writing
└── MissingExtraError        (ImportError)   an optional dependency is not installed

A message says what was found, what was expected, and what to do.
"""

import difflib
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import ClassVar


class RwsError(Exception):
    """Base of every error that rwsstore raises on purpose.

    Attributes:
        exit_code: what the command line returns for it.
        problem: what the service answers: the last part of an RFC 9457 problem's type.
        members: of that answer, beyond what every problem has.
    """

    exit_code = 1
    problem: ClassVar[str] = "internal"
    members: Mapping[str, object] = MappingProxyType({})

    @property
    def public(self) -> str:
        """What a caller far away may be told."""
        return str(self)


class NotFoundError(RwsError, LookupError):
    """Something that was named does not exist."""

    exit_code = 3
    problem = "not-found"


class MissingFileError(NotFoundError, FileNotFoundError):
    """A file or folder that was named does not exist."""


class UnknownPatchError(NotFoundError):
    """The store holds no such name, version or digest."""

    problem = "unknown-patch"


class NotAppliedError(UnknownPatchError):
    """The patch is not on."""

    problem = "not-applied"


class RefusedError(RwsError, ValueError):
    """Input that was refused before anything was written or changed."""

    exit_code = 4
    problem = "invalid-request"


class UnknownNameError(RefusedError):
    """A name that is in none of the registries.

    Args:
        what: the kind of thing, in the singular ("corruption").
        name: what was found.
        known: what would have been accepted.
    """

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        super().__init__(f"unknown {what} {name!r}.{hint} Known: {', '.join(names)}.")


class ConfigError(RefusedError):
    """A parameter out of its range, or parameters that contradict each other."""


class FormatError(RefusedError):
    """Bytes that are not what their name promises: a patch, a checkpoint, an image."""

    problem = "invalid-patch"


class TooLargeError(FormatError):
    """More bytes or pixels than are read."""

    problem = "too-large"


class UnsupportedError(FormatError):
    """A format, or a kind of it, that is not read."""

    problem = "unsupported-media"


class DataError(RefusedError):
    """A dataset that cannot be used: empty, of one class, or with unreadable images."""


class TensorError(RefusedError):
    """Numbers that are not finite, or a tensor of the wrong shape or dtype."""

    problem = "not-finite"


class MismatchError(RefusedError):
    """A patch that does not belong on this model: other architecture or other clean weights."""

    problem = "wrong-model"


class GoldenError(RefusedError):
    """A patch that, on this model, does not do what it recorded when it was made."""

    problem = "golden-mismatch"


class StoreError(RwsError):
    """The store could not do what was asked.

    Attributes:
        fault: what `public` says instead of the message, which names files of the machine;
            "" where it names none.
    """

    problem = "unavailable"
    fault: ClassVar[str] = "the store or the journal cannot be used now"

    @property
    def public(self) -> str:
        """What a caller far away may be told: no names of files."""
        return f"{self.fault}; the service's log says more" if self.fault else str(self)


class IntegrityError(StoreError):
    """Stored bytes are not those that were written."""

    problem = "integrity"
    fault = "stored data is damaged"


class ConflictError(StoreError):
    """A name moved between being read and being written."""

    problem = "conflict"
    fault = ""


class ReadOnlyError(StoreError, PermissionError):
    """This layer of the store cannot be written."""

    problem = "read-only"
    fault = ""


class StorageFullError(StoreError, OSError):
    """No space left, or the device failed while writing; nothing was published."""

    problem = "storage-full"
    fault = "no space is left, or the device failed; nothing was changed"


class MissingExtraError(RwsError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs an optional package: pip install 'rwsstore[{extra}]'")
