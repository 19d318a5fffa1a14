"""Every error that the SDK raises on purpose.

RwsClientError
├── ApiError                             the service answered, and not with what was asked for
│   ├── InvalidRequestError (ValueError)     400, 405, 422, 428: a value is not allowed
│   │   └── WrongModelError                  the patch belongs on another model
│   ├── UnauthorizedError                    401: a token is needed
│   ├── ForbiddenError                       403: this token does not allow it
│   ├── NotFoundError       (LookupError)    404: no such model, generation, ...
│   │   └── UnknownPatchError                no such patch in the service's store
│   ├── ConflictError                        409: somebody else was first, or it cannot be changed
│   │   ├── DuplicatePatchError              it is the name's latest version already
│   │   ├── PatchInUseError                  the active patch set or the history needs it
│   │   └── StaleGenerationError             412: the patch set has changed since
│   ├── TooLargeError                        413, 431: more than the service takes
│   ├── UnsupportedMediaError                415: not an image of a format that it reads
│   ├── RateLimitedError                     429: too many requests
│   └── ServiceError                         5xx: the service failed
│       ├── OverloadedError                  503: it is busy
│       └── DeadlineError    (TimeoutError)      504: not begun in the time that was given
├── ConnectError            (ConnectionError)    nobody answered
├── RequestTimeoutError     (TimeoutError)       the answer took too long
├── ProtocolError                        an answer that is not what the API promises
└── StateChangedError                    the patch set changed between the parts of one prediction

A message says what was found, what was expected, and what to do.
"""

from collections.abc import Mapping
from typing import Any


class RwsClientError(Exception):
    """Base of every error that the SDK raises on purpose."""


class ApiError(RwsClientError):
    """The service answered with a problem (RFC 9457).

    Args:
        detail: what was found, what was expected, what to do.
        status: HTTP status.
        type: URI of the kind of problem; "about:blank" where something else answered.
        title: the same for every problem of this kind.
        request_id: to be found again in the service's log; "" where there was none.
        retry_after: seconds that the service asks to wait, where it does.
        extra: further members of the answer.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int = 0,
        type: str = "about:blank",  # noqa: A002 - the member's name in RFC 9457
        title: str = "",
        request_id: str = "",
        retry_after: float | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.type = type
        self.title = title
        self.request_id = request_id
        self.retry_after = retry_after
        self.extra: dict[str, Any] = dict(extra or {})

    def __str__(self) -> str:
        request = f", request {self.request_id}" if self.request_id else ""
        return f"{self.detail} (HTTP {self.status}{request})"


class InvalidRequestError(ApiError, ValueError):
    """A value that the service does not allow; nothing was changed."""


class WrongModelError(InvalidRequestError):
    """A patch that was extracted from another model than the served one."""


class UnauthorizedError(ApiError):
    """A token is needed, or this one is not known."""


class ForbiddenError(ApiError):
    """The token is known and does not allow this."""


class NotFoundError(ApiError, LookupError):
    """Something that was named does not exist."""


class UnknownPatchError(NotFoundError):
    """The service's store holds no such name, version or digest."""


class ConflictError(ApiError):
    """Somebody else was first, or what was asked cannot be changed."""


class DuplicatePatchError(ConflictError):
    """The uploaded patch is its name's latest version already."""

    @property
    def digest(self) -> str | None:
        """SHA-256 of the patch."""
        return self.extra.get("digest")

    @property
    def name(self) -> str | None:
        """The name that it has."""
        return self.extra.get("name")

    @property
    def version(self) -> int | None:
        """Its version under that name."""
        return self.extra.get("version")


class PatchInUseError(ConflictError):
    """The active patch set or the history refers to the patch."""


class StaleGenerationError(ConflictError):
    """The patch set is no longer the one that `if_match` names."""

    @property
    def current_generation(self) -> int | None:
        """The generation that is active now."""
        return self.extra.get("current_generation")


class TooLargeError(ApiError):
    """The request, one of its images or its headers are larger than the service takes."""


class UnsupportedMediaError(ApiError):
    """The content is of a kind that the service does not read."""


class RateLimitedError(ApiError):
    """Too many requests for this token or address; `retry_after` says when to come again."""


class ServiceError(ApiError):
    """The service failed."""


class OverloadedError(ServiceError):
    """The service takes no more requests now; `retry_after` says when to come again."""


class DeadlineError(ServiceError, TimeoutError):
    """The service did not begin the prediction in time (`timeout_ms`, or its own setting).

    It is not asked again: whoever set the time knows whether the answer is still of use.
    """


class ConnectError(RwsClientError, ConnectionError):
    """The service could not be reached, or went away before it answered."""


class RequestTimeoutError(RwsClientError, TimeoutError):
    """The service did not answer in time."""


class ProtocolError(RwsClientError):
    """An answer that is not what the API promises: something else listens there."""


class StateChangedError(RwsClientError):
    """The active patch set changed between the parts of one prediction; predict again."""


_BY_TYPE: dict[str, type[ApiError]] = {
    "unknown-patch": UnknownPatchError,
    "duplicate-patch": DuplicatePatchError,
    "patch-in-use": PatchInUseError,
    "wrong-model": WrongModelError,
    "deadline-exceeded": DeadlineError,
    "unavailable": ServiceError,
    "integrity": ServiceError,
}
"""What a problem's type says more than its status."""

_BY_STATUS: dict[int, type[ApiError]] = {
    400: InvalidRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    405: InvalidRequestError,
    409: ConflictError,
    412: StaleGenerationError,
    413: TooLargeError,
    415: UnsupportedMediaError,
    422: InvalidRequestError,
    428: InvalidRequestError,
    429: RateLimitedError,
    431: TooLargeError,
    503: OverloadedError,
}


def error_class(problem_type: str, status: int) -> type[ApiError]:
    """Say which error a problem becomes: by its type, else by its status."""
    name = problem_type.removeprefix("urn:rwsstore:problem:")
    if name in _BY_TYPE:
        return _BY_TYPE[name]
    return _BY_STATUS.get(status, ServiceError if status >= 500 else ApiError)
