"""The Python SDK of rwsstore: patch a live image classifier over REST, and predict.

Start with `Client`, or `AsyncClient` on an event loop. Needs httpx and pydantic, nothing else.
"""

from rwsstore_client._client import AsyncClient, Client
from rwsstore_client._errors import (
    ApiError,
    ConflictError,
    ConnectError,
    DeadlineError,
    DuplicatePatchError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    PatchInUseError,
    ProtocolError,
    RateLimitedError,
    RequestTimeoutError,
    RwsClientError,
    ServiceError,
    StaleGenerationError,
    StateChangedError,
    TooLargeError,
    UnauthorizedError,
    UnknownPatchError,
    UnsupportedMediaError,
    WrongModelError,
)
from rwsstore_client._images import ImageLike, ImagesLike
from rwsstore_client._model import AsyncModel, AsyncPatchedModel, Model, PatchedModel
from rwsstore_client._patches import AsyncPatches, Patches
from rwsstore_client._patchset import ActivePatchSet, AsyncActivePatchSet
from rwsstore_client._results import (
    AppliedPatch,
    AuditLog,
    AuditRecord,
    Card,
    CardPoint,
    ComputeInfo,
    Fingerprint,
    Generation,
    History,
    InputInfo,
    Label,
    ModelInfo,
    OfferedFormat,
    Patch,
    PatchSet,
    Prediction,
    Predictions,
    ResolvedPatch,
    Timing,
    Verification,
)
from rwsstore_client._strengths import PatchSetLike, TaLoss, parse_patchset
from rwsstore_client._version import __version__

__all__ = [
    "ActivePatchSet",
    "ApiError",
    "AppliedPatch",
    "AsyncActivePatchSet",
    "AsyncClient",
    "AsyncModel",
    "AsyncPatchedModel",
    "AsyncPatches",
    "AuditLog",
    "AuditRecord",
    "Card",
    "CardPoint",
    "Client",
    "ComputeInfo",
    "ConflictError",
    "ConnectError",
    "DeadlineError",
    "DuplicatePatchError",
    "Fingerprint",
    "ForbiddenError",
    "Generation",
    "History",
    "ImageLike",
    "ImagesLike",
    "InputInfo",
    "InvalidRequestError",
    "Label",
    "Model",
    "ModelInfo",
    "NotFoundError",
    "OfferedFormat",
    "OverloadedError",
    "Patch",
    "PatchInUseError",
    "PatchSet",
    "PatchSetLike",
    "PatchedModel",
    "Patches",
    "Prediction",
    "Predictions",
    "ProtocolError",
    "RateLimitedError",
    "RequestTimeoutError",
    "ResolvedPatch",
    "RwsClientError",
    "ServiceError",
    "StaleGenerationError",
    "StateChangedError",
    "TaLoss",
    "Timing",
    "TooLargeError",
    "UnauthorizedError",
    "UnknownPatchError",
    "UnsupportedMediaError",
    "Verification",
    "WrongModelError",
    "__version__",
    "parse_patchset",
]

# Tracebacks and reprs name what is imported, not the private module it lies in.
for _name in __all__:
    _public = globals()[_name]
    if isinstance(_public, type):
        _public.__module__ = __name__
del _name, _public
