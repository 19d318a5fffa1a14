# Generated from _async/model.py by scripts/blocking_half.py
"""A model of the service, what it has on for everybody, and the model patched for one call."""

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from rwsstore_client._errors import ProtocolError, StateChangedError
from rwsstore_client._images import Encoded, ImagesLike, loaders
from rwsstore_client._messages import Match, change, get, path, predict_request
from rwsstore_client._strengths import PatchSetLike, Wanted, as_choices, as_text, strength
from rwsstore_client._sync.transport import Transport
from rwsstore_client.contract import History, ModelInfo, PatchSet, Predictions, Timing, Verification

_BATCH = 64  # what a service takes in one request unless told otherwise
_MAX_BYTES = 32 * 2**20  # of one request's images; a service takes 64 MiB unless told otherwise


class ActivePatchSet:
    """The patch set that a model has on, for every request that brings none of its own.

    Each change makes a new generation and returns it. With `if_match` (a generation, the patch set
    that one has seen, or "*") a change is made only where that is still the active one.
    """

    def __init__(self, transport: Transport, model: str) -> None:
        self._transport, self._model = transport, model

    def get(self) -> PatchSet:
        """Read it."""
        return self._transport.ask(get(self._path()), PatchSet)

    def replace(self, patchset: Wanted, *, if_match: Match) -> PatchSet:
        """Put on just these patches.

        Args:
            patchset: `{"fog": 0.6, "snow": TaLoss(1.0), "frost": None}`; None is the recommended
                strength, and {} the clean model.
            if_match: what is to be replaced; "*" is whatever there is.

        Raises:
            StaleGenerationError: somebody else changed it since.
            UnknownPatchError, InvalidRequestError, WrongModelError: nothing was changed.
        """
        document = {"patches": as_choices(patchset)}
        request = change("PUT", self._path(), document=document, if_match=if_match)
        return self._transport.ask(request, PatchSet)

    def apply(
        self,
        patch: str,
        *,
        alpha: float | None = None,
        ta_loss: float | None = None,
        if_match: Match | None = None,
    ) -> PatchSet:
        """Put a patch on, or give the one that is on another strength.

        Args:
            patch: its name, NAME@VERSION or digest.
            alpha: its strength; the recommended one where neither is given.
            ta_loss: instead, the points of accuracy on clean images that it may cost.
            if_match: what must be active.

        Raises:
            UnknownPatchError, InvalidRequestError, WrongModelError, StaleGenerationError: nothing
                was changed.
        """
        document = strength(alpha, ta_loss) or None
        request = change("PUT", self._path(patch), document=document, if_match=if_match)
        return self._transport.ask(request, PatchSet)

    def scale(
        self,
        patch: str,
        *,
        alpha: float | None = None,
        ta_loss: float | None = None,
        if_match: Match | None = None,
    ) -> PatchSet:
        """Give a patch that is on another strength; as `apply`, which also puts it on.

        Raises:
            NotFoundError: it is not on.
            InvalidRequestError, StaleGenerationError: nothing was changed.
        """
        document = strength(alpha, ta_loss)
        request = change("PATCH", self._path(patch), document=document, if_match=if_match)
        return self._transport.ask(request, PatchSet)

    def remove(self, patch: str, *, if_match: Match | None = None) -> PatchSet:
        """Take a patch off, to the bit.

        Raises:
            NotFoundError: it is not on.
            StaleGenerationError: nothing was changed.
        """
        request = change("DELETE", self._path(patch), if_match=if_match)
        return self._transport.ask(request, PatchSet)

    def clear(self, *, if_match: Match | None = None) -> PatchSet:
        """Take all patches off.

        Raises:
            StaleGenerationError: nothing was changed.
        """
        request = change("DELETE", self._path(), if_match=if_match)
        return self._transport.ask(request, PatchSet)

    def history(self, *, limit: int = 50, before: int | None = None) -> History:
        """Read who changed it, when and how, the newest generation first.

        Args:
            limit: most generations, 1 to 1000.
            before: only older ones than this.
        """
        where = path("v1", "models", self._model, "history")
        return self._transport.ask(get(where, {"limit": limit, "before": before}), History)

    def rollback(self, generation: int, *, if_match: Match | None = None) -> PatchSet:
        """Put on again what was on in a generation; that becomes a new one.

        Raises:
            NotFoundError: there is no such generation.
            ConflictError: it cannot be put on any more; nothing was changed.
        """
        where = path("v1", "models", self._model, "rollback")
        request = change("POST", where, document={"generation": generation}, if_match=if_match)
        return self._transport.ask(request, PatchSet)

    def verify(self) -> Verification:
        """Have the weights in the service's memory compared with freshly made ones."""
        return self._transport.ask(get(self._path(), {"verify": True}), Verification)

    def _path(self, *patch: str) -> str:
        return path("v1", "models", self._model, "patchset", *patch)


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
        return self._transport.ask(get(path("v1", "models", self.name)), ModelInfo)

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
        options = {"patchset": as_text(patchset), "top_k": top_k, "timeout_ms": timeout_ms}
        if batch < 1:
            raise ValueError(f"batch is {batch}; expected 1 or more")
        parts = _parts(images, batch)
        answers: list[Predictions] = []
        while part := next(parts, None):
            request = predict_request(self.name, part, options)
            answer = self._transport.ask(request, Predictions)
            if len(answer) != len(part) or not all(image.top for image in answer):
                raise ProtocolError(f"{len(answer)} predictions came back for {len(part)} images")
            answers.append(answer)
        return _joined(answers)

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
        model = Model(self._transport, self.name)
        return model.predict(
            images, top_k=top_k, patchset=self.patchset, batch=batch, timeout_ms=timeout_ms
        )


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
    timings = [answer.timing for answer in answers]
    return answers[-1].model_copy(
        update={
            "predictions": tuple(image for answer in answers for image in answer),
            "timing": Timing(
                queued_ms=sum(timing.queued_ms for timing in timings),
                decode_ms=sum(timing.decode_ms for timing in timings),
                compute_ms=sum(timing.compute_ms for timing in timings),
            ),
        }
    )
