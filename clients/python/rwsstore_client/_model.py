"""A model of the service, `rws.model()`; and one that is patched for one call."""

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from rwsstore_client._errors import ProtocolError, StateChangedError
from rwsstore_client._images import Encoded, ImagesLike, loaders
from rwsstore_client._messages import get, path, predict_request, read
from rwsstore_client._patchset import ActivePatchSet, AsyncActivePatchSet
from rwsstore_client._results import ModelInfo, Predictions, Timing
from rwsstore_client._strengths import PatchSetLike, as_text
from rwsstore_client._transport import AsyncTransport, Plan, Transport

_MAX_BYTES = 32 * 2**20  # of one request's images; a service takes 64 MiB unless told otherwise


def _predict(
    model: str,
    images: ImagesLike,
    patchset: PatchSetLike,
    top_k: int | None,
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


_BATCH = 64  # what a service takes in one request unless told otherwise


def _info(model: str) -> Plan[ModelInfo]:
    return read((yield get(path("v1", "models", model))), ModelInfo)


class Model:
    """One model of the service.

    Attributes:
        name: of the model.
        patchset: what it has on for everybody.
    """

    def __init__(self, transport: Transport, name: str) -> None:
        self._transport = transport
        self.name = name
        self.patchset = ActivePatchSet(transport, name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r} at {self._transport.url})"

    def info(self) -> ModelInfo:
        """Describe it: network, classes, input, fingerprints.

        Raises:
            NotFoundError: the service has no such model.
        """
        return self._transport.run(_info(self.name))

    def predict(
        self,
        images: ImagesLike,
        *,
        top_k: int | None = None,
        patchset: PatchSetLike = "active",
        batch: int = _BATCH,
        timeout_ms: int | None = None,
    ) -> Predictions:
        """Predict what images show.

        Several images go into one request. More than `batch`, or than 32 MiB together, go into
        several, one after the other, whose answers are joined: all of them come from the same
        weights, or `StateChangedError` is raised.

        Args:
            images: bytes, path, file, PIL image or array of one image, or a list of these; an
                array of [N, H, W, 3] is N images.
            top_k: how many classes to name for each.
            patchset: "active"; "none", the clean model; or patches for this request alone:
                `{"fog": 0.6, "frost": None}`.
            batch: most images in one request.
            timeout_ms: milliseconds from 1 to 3,600,000 within which the service is to begin each
                request; what it would begin later it drops. Its own setting if None.

        Raises:
            DeadlineError: it was not begun in time; it is not asked again.
            TypeError, ValueError: something is no image, or no strength; nothing was sent.
            StateChangedError: the active patch set changed in between.
            InvalidRequestError, TooLargeError, UnsupportedMediaError: the service does not take an
                image.
            UnknownPatchError: there is no such patch.
        """
        plan = _predict(self.name, images, patchset, top_k, batch, timeout_ms)
        return self._transport.run(plan)

    def patched(self, patchset: PatchSetLike) -> "PatchedModel":
        """The model with other patches on, for requests made through it only.

        Nothing is changed on the service: each request brings the patch set along. So it needs no
        admin token, and no clearing up.

        Raises:
            TypeError, ValueError: a strength is no finite number.
        """
        return PatchedModel(self._transport, self.name, as_text(patchset))


class PatchedModel:
    """A model with a patch set of one's own: `with model.patched({"fog": 0.6}) as scene`.

    Attributes:
        name: of the model.
        patchset: as one string.
    """

    def __init__(self, transport: Transport, name: str, patchset: str) -> None:
        self._transport = transport
        self.name = name
        self.patchset = patchset

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r} with {self.patchset})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def predict(
        self,
        images: ImagesLike,
        *,
        top_k: int | None = None,
        batch: int = _BATCH,
        timeout_ms: int | None = None,
    ) -> Predictions:
        """Predict what images show with this patch set; as `Model.predict`."""
        plan = _predict(self.name, images, self.patchset, top_k, batch, timeout_ms)
        return self._transport.run(plan)


class AsyncModel:
    """One model of the service; as `Model`, which says more."""

    def __init__(self, transport: AsyncTransport, name: str) -> None:
        self._transport = transport
        self.name = name
        self.patchset = AsyncActivePatchSet(transport, name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r} at {self._transport.url})"

    async def info(self) -> ModelInfo:
        """Describe it: network, classes, input, fingerprints."""
        return await self._transport.run(_info(self.name))

    async def predict(
        self,
        images: ImagesLike,
        *,
        top_k: int | None = None,
        patchset: PatchSetLike = "active",
        batch: int = _BATCH,
        timeout_ms: int | None = None,
    ) -> Predictions:
        """Predict what images show."""
        plan = _predict(self.name, images, patchset, top_k, batch, timeout_ms)
        return await self._transport.run_in_threads(plan)

    def patched(self, patchset: PatchSetLike) -> "AsyncPatchedModel":
        """The model with other patches on, for requests made through it only."""
        return AsyncPatchedModel(self._transport, self.name, as_text(patchset))


class AsyncPatchedModel:
    """A model with a patch set of one's own: `async with model.patched({"fog": 0.6}) as scene`."""

    def __init__(self, transport: AsyncTransport, name: str, patchset: str) -> None:
        self._transport = transport
        self.name = name
        self.patchset = patchset

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r} with {self.patchset})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    async def predict(
        self,
        images: ImagesLike,
        *,
        top_k: int | None = None,
        batch: int = _BATCH,
        timeout_ms: int | None = None,
    ) -> Predictions:
        """Predict what images show with this patch set; as `Model.predict`."""
        plan = _predict(self.name, images, self.patchset, top_k, batch, timeout_ms)
        return await self._transport.run_in_threads(plan)
