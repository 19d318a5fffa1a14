"""What the service answers with. Members that a newer service adds are ignored."""

__all__ = [
    "AppliedPatch",
    "AuditLog",
    "AuditRecord",
    "Card",
    "CardPoint",
    "ComputeInfo",
    "Fingerprint",
    "Generation",
    "History",
    "InputInfo",
    "Label",
    "ModelInfo",
    "ModelPage",
    "OfferedFormat",
    "Patch",
    "PatchPage",
    "PatchSet",
    "Prediction",
    "Predictions",
    "ResolvedPatch",
    "Timing",
    "Verification",
]

from rwsstore_client._results.audit import AuditLog, AuditRecord
from rwsstore_client._results.models import (
    ComputeInfo,
    Fingerprint,
    InputInfo,
    ModelInfo,
    ModelPage,
    OfferedFormat,
)
from rwsstore_client._results.patches import Card, CardPoint, Patch, PatchPage
from rwsstore_client._results.patchsets import (
    AppliedPatch,
    Generation,
    History,
    PatchSet,
    ResolvedPatch,
    Verification,
)
from rwsstore_client._results.predictions import Label, Prediction, Predictions, Timing
