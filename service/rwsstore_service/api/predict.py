"""Predictions from uploaded images: one as the body, or several as the parts of a form."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar, cast

import torch
from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic_core import to_json
from starlette.datastructures import FormData, QueryParams, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send
from torch import Tensor

from rwsstore_client.contract import Predictions
from rwsstore_service.api.requests import HostDep, ServiceDep, StrictRoute
from rwsstore_service.engine.finding import ACTIVE
from rwsstore_service.engine.host import ModelHost
from rwsstore_service.engine.records import PredictedImages
from rwsstore_service.engine.service import Service
from rwsstore_service.settings import Settings
from rwsstore_service.wire.observability import Metrics
from rwsstore_service.wire.problems import ProblemError, problem_responses

if TYPE_CHECKING:
    from rwsstore_service.wire.otel import OtelSpan

_IMAGES = ("image/jpeg", "image/png", "image/webp", "image/bmp", "application/octet-stream")
_FORM = "multipart/form-data"
_TEXTS = ("patchset", "top_k", "timeout_ms")
_MAX_TEXT = 16_384
_MAX_TIMEOUT = 3_600_000

RESIZE = (
    "where the size differs: the shorter side to the input's, antialiased bilinear, and the middle "
    "square cut out"
)
"""What is done to an image of another size than the model's."""


@dataclass(frozen=True)
class Upload:
    """What a request brought.

    Attributes:
        files: bytes of the images.
        texts: the form's other fields.
    """

    files: tuple[bytes, ...]
    texts: dict[str, str]


class _InMemory(MultiPartParser):
    """Keeps files in memory, which the body's limit bounds; nothing is written to disk.

    Texts are UTF-8: a charset in the request could name any of Python's codecs.
    """

    spool_max_size = 2**40
    whole = False

    def on_part_begin(self) -> None:
        super().on_part_begin()
        self._charset = "utf-8"

    def on_end(self) -> None:
        self.whole = True

    def close(self) -> None:
        """Free the files, those of parts that never ended too."""
        for file in self._files_to_close_on_error:
            file.close()


async def read_upload(request: Request, settings: Settings) -> Upload:
    """Read images from a request's body.

    Raises:
        ProblemError: another kind of content, a form that cannot be read, no image or too many,
            or one that is too large.
    """
    media = request.headers.get("content-type", "application/octet-stream")
    kind = media.partition(";")[0].strip().lower()
    if kind == _FORM:
        upload = await _read_form(request, settings)
    elif kind in _IMAGES:
        upload = Upload((await request.body(),), {})
    else:
        raise ProblemError(
            "unsupported-media",
            f"Content-Type is {kind[:60]!a}; expected an image ({', '.join(_IMAGES)}) or "
            f"{_FORM} with files",
        )
    if not upload.files or not all(upload.files):
        raise ProblemError("invalid-request", "there is no image, or an empty one")
    largest = max(map(len, upload.files))
    if largest > settings.max_image_bytes:
        raise ProblemError(
            "too-large",
            f"an image of {largest:,} bytes; at most {settings.max_image_bytes:,} are read",
        )
    return upload


async def _read_form(request: Request, settings: Settings) -> Upload:
    parser = _InMemory(
        request.headers,
        request.stream(),
        max_files=settings.max_images,
        max_fields=len(_TEXTS),
        max_part_size=_MAX_TEXT,
    )
    try:
        form = await parser.parse()
        if not parser.whole:
            raise MultiPartException("The form ends before its last boundary.")
        return await _sort(form)
    except MultiPartException as error:
        large = error.message.startswith(("Too many", "Part exceeded"))
        raise ProblemError("too-large" if large else "bad-request", error.message) from None
    except ValueError:  # of a charset that Python cannot even look for
        raise ProblemError("bad-request", "the form's Content-Type cannot be read") from None
    finally:
        parser.close()


async def _sort(form: FormData) -> Upload:
    files, texts = [], {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile) and name not in _TEXTS:  # whatever else it is called
            files.append(await value.read())
        elif name in _TEXTS and isinstance(value, str) and name not in texts:
            texts[name] = value
        else:
            raise ProblemError(
                "invalid-request",
                f"unexpected form field {name[:60]!a}; expected files (images), and at most one "
                f"each of {', '.join(_TEXTS)}, as text",
            )
    return Upload(tuple(files), texts)


# So many logits are sooner ranked here than by torch, whose operations also let go of the
# interpreter, which a thread that computes then keeps for a while.
FEW_LOGITS = 256
_P = ParamSpec("_P")
_T = TypeVar("_T")
_TOP = 5
_USUAL_QUERY = 1000
# Answers of so many rows, made of so many numbers, are written within a tenth of a millisecond.
_SMALL_ROWS = 80
_SMALL_NUMBERS = 16_384
_PROBLEMS = (
    "bad-request", "unauthorized", "unknown-model", "unknown-patch", "too-large",
    "unsupported-media", "invalid-request", "invalid-image", "wrong-model", "golden-mismatch",
    "not-finite", "overloaded", "unavailable", "integrity", "deadline-exceeded",
)  # fmt: skip


class PlainRequest(Request):
    """A request whose body is read once; mostly it comes in one piece, and is that piece."""

    async def body(self) -> bytes:
        """The whole body; `ClientDisconnect` where its sender left before the end."""
        parts: list[bytes] = []
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        return parts[0] if len(parts) == 1 else b"".join(parts)


async def call(small: bool, function: Callable[_P, _T], *args: _P.args, **named: _P.kwargs) -> _T:
    """Call a function so that the event loop waits as little as may be.

    Handing it to another thread costs about 50 µs, and milliseconds where the interpreter is busy;
    what is `small` takes less than that.
    """
    if small:
        return function(*args, **named)
    return await run_in_threadpool(function, *args, **named)


def observe(
    request: Request,
    host: ModelHost,
    found: PredictedImages,
    *,
    decoded: float | None = None,
) -> None:
    """Count a prediction and add its parts to the request's span.

    `decoded` are the seconds that its images took; None where it brought arrays.
    """
    metrics, images = cast("Metrics", request.app.state.metrics), len(found.logits)
    metrics.predicted(queued=found.queued, decoded=decoded, computed=found.computed, images=images)
    span: OtelSpan | None = getattr(request.state, "span", None)
    if span is not None:
        span.predicted(
            model=host.name,
            state_digest=found.state_digest,
            images=images,
            queued=found.queued,
            decoded=decoded,
            computed=found.computed,
        )


class _PredictRoute(StrictRoute):
    """Answers the usual request without FastAPI's reading of parameters, half of a route's cost.

    Usual is a served model, and no query but a patch set; everything else goes the long way, which
    also says what is wrong. Errors are raised to the app's handlers on both.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer here, or go the long way."""
        service = cast("Service", scope["app"].state.service)
        host = service.hosts.get(scope["path_params"]["model"])
        query: bytes = scope["query_string"]
        patchset = _only_patchset(query) if 0 < len(query) <= _USUAL_QUERY else None
        if host is None or (query and patchset is None) or scope["method"] != "POST":
            await super().handle(scope, receive, send)
            return
        asked = PlainRequest(scope, receive)
        members = await _predict(service, host, asked, {"patchset": patchset})
        answer = Response(to_json(members, inf_nan_mode="null"), media_type="application/json")
        await answer(scope, receive, send)


@lru_cache(maxsize=1024)  # most ask for what others asked for
def _only_patchset(query: bytes) -> str | None:
    """The patch set, where nothing else is in the query."""
    found = QueryParams(query).multi_items()
    return found[0][1] if [name for name, _ in found] == ["patchset"] else None


router = APIRouter(prefix="/v1/models/{model}", tags=["Predictions"], route_class=_PredictRoute)


@router.post(
    "/predict",
    summary="Classify images",
    responses=problem_responses(*_PROBLEMS),
)
async def predict(
    service: ServiceDep,
    host: HostDep,
    request: Request,
    patchset: Annotated[
        str | None,
        Query(
            max_length=_MAX_TEXT,
            description="For this request alone: active (the default), none, or patches with or "
            "without a strength. May stand in the form instead.",
            examples=["fog=0.6,gaussian_blur=0.4"],
        ),
    ] = None,
    top_k: Annotated[
        int | None,
        Query(ge=1, le=100_000, description="How many classes to tell; 5, or all if fewer."),
    ] = None,
    timeout_ms: Annotated[
        int | None,
        Query(
            ge=1,
            le=_MAX_TIMEOUT,
            description="Milliseconds from when the request was read within which it is to be "
            "begun; else it is dropped (504). Without it, RWS_QUEUE_TIMEOUT.",
        ),
    ] = None,
) -> Predictions:
    """Classify one image (the body) or several (a form's parts), with the patch set of your choice.

    The answer says which patch set and which weights made it.
    """
    given = {
        "patchset": patchset,
        "top_k": None if top_k is None else str(top_k),
        "timeout_ms": None if timeout_ms is None else str(timeout_ms),
    }
    return Predictions.model_validate(await _predict(service, host, request, given))


async def _predict(
    service: Service, host: ModelHost, request: Request, query: Mapping[str, str | None]
) -> dict[str, Any]:
    """The members of a `Predictions`; what stands in the query may stand in the form instead."""
    upload = await read_upload(request, service.settings)
    read_at = time.perf_counter()
    texts = upload.texts
    for name, value in query.items():
        if value is not None and texts.setdefault(name, value) != value:
            raise ProblemError(
                "invalid-request", f"{name} is one thing in the query, another in the form"
            )
    timeout = _number(texts, "timeout_ms", _MAX_TIMEOUT, f"1 to {_MAX_TIMEOUT} milliseconds")
    wanted = await host.choose(texts.get("patchset", ACTIVE))
    classes = host.classes
    top_k = _number(texts, "top_k", len(classes), f"1 to {len(classes)}, the classes")
    most = min(_TOP, len(classes)) if top_k is None else top_k
    images, decoded = await service.decoder.decode(upload.files)
    seconds = None if timeout is None else timeout / 1000
    found = await host.predict(images, wanted, asked_at=read_at, timeout=seconds)
    observe(request, host, found, decoded=decoded)
    logits = found.logits
    small = len(logits) * most <= _SMALL_ROWS and logits.numel() <= _SMALL_NUMBERS
    predictions = await call(small, predictions_of, logits, classes, most)
    return prediction_members(host.name, found, predictions, decoded)


def _number(texts: Mapping[str, str], name: str, largest: int, expected: str) -> int | None:
    text = texts.get(name)
    if text is None:
        return None
    found = int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0
    if not 1 <= found <= largest:
        raise ProblemError("invalid-request", f"{name} is {text[:20]!a}; expected {expected}")
    return found


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
    """The members of a `Predictions`, as plain values: a quarter of the time of its objects.

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
