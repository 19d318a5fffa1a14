"""Predicting: images into requests, answers into one."""

__all__ = ["predict"]

from collections.abc import Iterator, Sequence

from rwsstore_client._errors import ProtocolError, StateChangedError
from rwsstore_client._images import Encoded, ImagesLike, loaders
from rwsstore_client._plans import Plan
from rwsstore_client._requests import predict_request
from rwsstore_client._responses import read
from rwsstore_client._results import Predictions, Timing
from rwsstore_client._strengths import PatchSetLike, as_text

_MAX_BYTES = 32 * 2**20  # of one request's images; a service takes 64 MiB unless told otherwise


def predict(
    model: str,
    images: ImagesLike,
    *,
    top_k: int | None,
    patchset: PatchSetLike,
    batch: int,
    timeout_ms: int | None,
) -> Plan[Predictions]:
    """Predict what images show, in as many requests as it takes."""
    wanted = as_text(patchset)
    if batch < 1:
        raise ValueError(f"batch is {batch}; expected 1 or more")
    answers: list[Predictions] = []
    for part in _parts(images, batch):
        reply = yield predict_request(
            model, part, patchset=wanted, top_k=top_k, timeout_ms=timeout_ms
        )
        answer = read(reply, Predictions)
        if len(answer) != len(part) or not all(image.top for image in answer):
            raise ProtocolError(f"{len(answer)} predictions came back for {len(part)} images")
        answers.append(answer)
    return _joined(answers)


def _parts(images: ImagesLike, batch: int) -> Iterator[Sequence[Encoded]]:
    """Images as they go together into requests; only one request's are in memory."""
    part: list[Encoded] = []
    size = 0
    for load in loaders(images):
        image = load()
        if part and (len(part) == batch or size + len(image.data) > _MAX_BYTES):
            yield part
            part, size = [], 0
        part.append(image)
        size += len(image.data)
    yield part


def _joined(answers: Sequence[Predictions]) -> Predictions:
    if len(answers) == 1:
        return answers[0]
    if len({answer.state_digest for answer in answers}) > 1:
        raise StateChangedError(
            "somebody changed the active patch set while the images were sent: predict again, or "
            "name a patch set (patchset=...), which nobody can change"
        )
    return answers[-1].model_copy(
        update={
            "predictions": tuple(image for answer in answers for image in answer),
            "timing": _sum([answer.timing for answer in answers]),
        }
    )


def _sum(timings: Sequence[Timing]) -> Timing:
    return Timing(
        queued_ms=sum(timing.queued_ms for timing in timings),
        decode_ms=sum(timing.decode_ms for timing in timings),
        compute_ms=sum(timing.compute_ms for timing in timings),
    )
