"""Answers made of what the engine holds."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from rwsstore.canonical import Digest
from rwsstore.data.images import FORMATS
from rwsstore.patches import RobustnessCard
from rwsstore_service.api.contract import (
    AuditRecord,
    CardAnswer,
    CardPointAnswer,
    ComputeAnswer,
    Fingerprint,
    GenerationAnswer,
    InputDescription,
    ModelAnswer,
    OfferedFormat,
    PatchAnswer,
    PatchSetAnswer,
    ResolvedPatch,
)
from rwsstore_service.engine.format_choice import FormatChoice
from rwsstore_service.engine.host import Active, ModelHost
from rwsstore_service.engine.library import Described
from rwsstore_service.engine.records import JournalEntry, PredictedImages
from rwsstore_service.settings import Settings

# So many logits are sooner ranked here than by torch, whose operations also let go of the
# interpreter, which a thread that computes then keeps for a while.
FEW_LOGITS = 256


def predictions_of(logits: Tensor, classes: Sequence[str], top_k: int) -> list[dict[str, Any]]:
    """The likeliest classes of each image: the members of `Prediction`s.

    Args:
        logits: float32 [B, C].
        classes: C names.
        top_k: how many to tell, 1 to C.

    Returns:
        for each image its classes, the likeliest first (of few equally likely ones that with the
        lowest number); probabilities that are none are NaN.
    """
    if logits.numel() <= FEW_LOGITS:
        return [_told(_rank(row, top_k), classes) for row in logits.tolist()]
    values, indices = torch.softmax(logits, dim=1).topk(top_k, dim=1)
    rows = zip(indices.tolist(), values.tolist(), strict=True)
    return [_told(zip(*row, strict=True), classes) for row in rows]


def prediction_members(
    model: str, found: PredictedImages, predictions: Iterable[dict[str, Any]], decoded: float
) -> dict[str, Any]:
    """The members of a `PredictAnswer`, as plain values: a quarter of the time of its objects.

    Args:
        model: the served name.
        found: what was computed.
        predictions: made of its logits.
        decoded: seconds to decode the images.
    """
    return {
        "model": model,
        "patches": [
            {"patch": one.patch, "digest": one.digest, "alpha": one.alpha} for one in found.patches
        ],
        "state_digest": found.state_digest,
        "generation": found.generation,
        "predictions": predictions,
        "timing": {
            "queued_ms": found.queued * 1000,
            "decode_ms": decoded * 1000,
            "compute_ms": found.computed * 1000,
        },
    }


def _rank(logits: list[float], top_k: int) -> Iterator[tuple[int, float]]:
    """Numbers of the likeliest classes, and their probabilities: a softmax in double precision."""
    most = max(logits)
    powers = [math.exp(logit - most) for logit in logits]  # none is over 1
    total = math.fsum(powers)
    order = sorted(range(len(logits)), key=logits.__getitem__, reverse=True)  # stable
    return ((index, powers[index] / total) for index in order[:top_k])


def _told(ranked: Iterable[tuple[int, float]], classes: Sequence[str]) -> dict[str, Any]:
    top = [
        {"label": classes[index], "index": index, "probability": probability}
        for index, probability in ranked
    ]
    return {"top": top}


_OF_METADATA = (
    "kind", "corruption", "severity", "attack", "budget", "bits", "layers", "architecture",
    "clean_weights", "dataset", "tool",
)  # fmt: skip
"""What an answer says of a patch in the words of its metadata."""

RESIZE = (
    "where the size differs: the shorter side to the input's, antialiased bilinear, and the middle "
    "square cut out"
)
"""What is done to an image of another size than the model's."""


def patchset_answer(model: str, active: Active, fault: str | None = None) -> PatchSetAnswer:
    """The active patch set; `fault` is why it is not served."""
    members = {
        "model": model,
        "generation": active.generation,
        "patches": active.patches,
        "resolved": _resolved(active.variant.resolved),
        "state_digest": active.variant.digest,
        "at": active.at,
        "fault": fault,
    }
    return PatchSetAnswer.model_validate(members, from_attributes=True)


def generation_answer(entry: JournalEntry) -> GenerationAnswer:
    """One line of the history."""
    members = {
        **_recorded(entry),
        "model": entry.subject,
        "patches": entry.patches,
        "resolved": _resolved(entry.resolved),
        "rolled_back_to": entry.rolled_back_to,
    }
    return GenerationAnswer.model_validate(members, from_attributes=True)


def audit_record(entry: JournalEntry) -> AuditRecord:
    """One record of the audit log."""
    digests = tuple(one.digest for one in entry.patches)
    return AuditRecord(
        seq=entry.seq,
        subject=entry.subject,
        digests=digests,
        chain=entry.chain,
        **_recorded(entry),
    )


def _recorded(entry: JournalEntry) -> dict[str, Any]:
    """What the history and the audit log both tell of a record."""
    return {
        "at": entry.at,
        "action": entry.action,
        "actor": entry.actor.name,
        "address": entry.actor.address,
        "request_id": entry.actor.request_id,
        "generation": entry.generation,
        "state_digest": entry.state_digest,
        "previous_state_digest": entry.previous_digest,
    }


def patch_answer(described: Described) -> PatchAnswer:
    """One patch of the store."""
    metadata = described.contents.metadata
    return PatchAnswer(
        name=described.name,
        version=described.version,
        digest=described.digest,
        alpha=metadata.alpha.recommended,
        alpha_minimum=metadata.alpha.minimum,
        alpha_maximum=metadata.alpha.maximum,
        parts=_resolved(described.parts),
        fits=described.fits,
        touched_bytes=described.touched_bytes,
        payload_bytes=described.contents.payload_bytes,
        file_bytes=described.contents.file_bytes,
        layer=described.layer,
        card=_card(metadata.card),
        **{name: getattr(metadata, name) for name in _OF_METADATA},
    )


def model_answer(host: ModelHost, settings: Settings) -> ModelAnswer:
    """The served model."""
    return ModelAnswer(
        name=host.name,
        network=host.spec.network,
        parameters=host.parameters,
        classes=host.classes,
        fingerprint=Fingerprint(
            architecture=host.identity.architecture, weights=host.identity.clean_weights
        ),
        input=InputDescription(
            channels=3,
            height=host.spec.input_size,
            width=host.spec.input_size,
            formats=FORMATS,
            resize=RESIZE,
            max_images=settings.max_images,
            max_pixels=settings.max_pixels,
            max_image_bytes=settings.max_image_bytes,
        ),
        compute=_compute(host.format_choice),
        patchset=patchset_answer(host.name, host.active, host.fault),
    )


def _compute(choice: FormatChoice) -> ComputeAnswer:
    agreements, milliseconds = choice.agreements, choice.milliseconds
    in_use = agreements.get(choice.format.name)
    found = [(one.name, agreements.get(one.name)) for one in choice.offered]
    return ComputeAnswer(
        format=choice.format.name,
        why=choice.why,
        agreement=None if in_use is None else in_use.lowest_agreement,
        offered=tuple(
            OfferedFormat(
                name=name,
                agreement=None if agreement is None else agreement.lowest_agreement,
                images=None if agreement is None else agreement.images,
                milliseconds=milliseconds.get(name),
            )
            for name, agreement in found
        ),
    )


def _resolved(resolved: Iterable[tuple[str, Digest, float]]) -> tuple[ResolvedPatch, ...]:
    return tuple(
        ResolvedPatch(name=name, digest=digest, alpha=alpha) for name, digest, alpha in resolved
    )


def _card(card: RobustnessCard | None) -> CardAnswer | None:
    if card is None:
        return None
    points = tuple(
        CardPointAnswer(alpha=point.alpha, ta=round(point.ta, 6), ra=round(point.ra, 6))
        for point in card.points
    )
    return CardAnswer(images=card.images, points=points)
