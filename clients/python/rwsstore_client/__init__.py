"""The Python SDK of rwsstore: patch a live image classifier over REST, and predict.

Start with `Client`, or `AsyncClient` on an event loop. Needs httpx and pydantic, nothing else;
`rwsstore_client.contract`, and every name but the clients', without loading httpx.
"""

import importlib
import types
import typing

from rwsstore_client._errors import (
    ApiError as ApiError,
    ConflictError as ConflictError,
    ConnectError as ConnectError,
    DeadlineError as DeadlineError,
    DuplicatePatchError as DuplicatePatchError,
    ForbiddenError as ForbiddenError,
    InvalidRequestError as InvalidRequestError,
    NotFoundError as NotFoundError,
    OverloadedError as OverloadedError,
    PatchInUseError as PatchInUseError,
    ProtocolError as ProtocolError,
    RateLimitedError as RateLimitedError,
    RequestTimeoutError as RequestTimeoutError,
    RwsClientError as RwsClientError,
    ServiceError as ServiceError,
    StaleGenerationError as StaleGenerationError,
    StateChangedError as StateChangedError,
    TooLargeError as TooLargeError,
    UnauthorizedError as UnauthorizedError,
    UnknownPatchError as UnknownPatchError,
    UnsupportedMediaError as UnsupportedMediaError,
    WrongModelError as WrongModelError,
)
from rwsstore_client._images import ImageLike as ImageLike, ImagesLike as ImagesLike
from rwsstore_client._strengths import (
    PatchSetLike as PatchSetLike,
    TaLoss as TaLoss,
    parse_patchset as parse_patchset,
)
from rwsstore_client._version import __version__ as __version__
from rwsstore_client.contract import (
    AppliedPatch as AppliedPatch,
    AuditLog as AuditLog,
    AuditRecord as AuditRecord,
    Card as Card,
    CardPoint as CardPoint,
    ComputeInfo as ComputeInfo,
    Fingerprint as Fingerprint,
    Generation as Generation,
    History as History,
    InputInfo as InputInfo,
    Label as Label,
    ModelInfo as ModelInfo,
    OfferedFormat as OfferedFormat,
    Patch as Patch,
    PatchSet as PatchSet,
    Prediction as Prediction,
    Predictions as Predictions,
    ResolvedPatch as ResolvedPatch,
    Timing as Timing,
    Verification as Verification,
)

if typing.TYPE_CHECKING:
    from rwsstore_client._async.client import AsyncClient as AsyncClient
    from rwsstore_client._async.model import (
        AsyncActivePatchSet as AsyncActivePatchSet,
        AsyncModel as AsyncModel,
        AsyncPatchedModel as AsyncPatchedModel,
    )
    from rwsstore_client._async.patches import AsyncPatches as AsyncPatches
    from rwsstore_client._sync.client import Client as Client
    from rwsstore_client._sync.model import (
        ActivePatchSet as ActivePatchSet,
        Model as Model,
        PatchedModel as PatchedModel,
    )
    from rwsstore_client._sync.patches import Patches as Patches

_CLIENTS = {
    "Client": "client",
    "Model": "model",
    "PatchedModel": "model",
    "ActivePatchSet": "model",
    "Patches": "patches",
}  # in which module of each half

_LOADED = sorted(
    name
    for name, value in globals().items()
    if not (name.startswith("_") or isinstance(value, types.ModuleType))
)
__all__ = sorted([*_LOADED, "__version__", *_CLIENTS, *(f"Async{name}" for name in _CLIENTS)])


def _shown_as_public(value: object) -> None:
    """Tracebacks and reprs name what is imported, not the private module it lies in."""
    if isinstance(value, type):
        value.__module__ = __name__


if not typing.TYPE_CHECKING:

    def __getattr__(name):
        module = _CLIENTS.get(name.removeprefix("Async"))
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        half = "_async" if name.startswith("Async") else "_sync"
        value = getattr(importlib.import_module(f"{__name__}.{half}.{module}"), name)
        _shown_as_public(value)
        globals()[name] = value
        return value


for _name in _LOADED:
    _shown_as_public(globals()[_name])
