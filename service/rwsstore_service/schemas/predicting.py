"""The answer to a prediction, as plain members: it is written for every request.

They are those of `PredictAnswer`, which describes them; made of plain values and written at once,
they take a quarter of the time that its objects take.
"""

__all__ = ["prediction_members", "predictions_of"]

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from rwsstore_service.engine.records import Prediction

# So many logits are sooner ranked here than by torch, whose operations also let go of the
# interpreter, which a thread that computes then keeps for a while.
_FEW = 256


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
    if logits.numel() <= _FEW:
        return [_told(_rank(row, top_k), classes) for row in logits.tolist()]
    values, indices = torch.softmax(logits, dim=1).topk(top_k, dim=1)
    rows = zip(indices.tolist(), values.tolist(), strict=True)
    return [_told(zip(*row, strict=True), classes) for row in rows]


def prediction_members(
    model: str, found: Prediction, predictions: Iterable[dict[str, Any]], decoded: float
) -> dict[str, Any]:
    """The members of a `PredictAnswer`.

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
