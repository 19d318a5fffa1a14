"""Predictions from uploaded images."""

__all__ = ["router"]

import time
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from torch import Tensor

from rwsstore_service.deps import HostDep, ReaderDep, ServiceDep, actor_of, service_of
from rwsstore_service.engine.choosing import ACTIVE
from rwsstore_service.problems import ProblemError, problem_responses
from rwsstore_service.routes.observing import observe
from rwsstore_service.routes.offloading import call
from rwsstore_service.routes.reading import Handler, StrictRoute
from rwsstore_service.routes.uploads import IMAGE_BODY, Upload, read_upload
from rwsstore_service.schemas.answers import PredictAnswer, Timing
from rwsstore_service.schemas.making import applied, prediction_of

_TOP = 5
_USUAL_QUERY = 1000
_MAX_TIMEOUT = 3_600_000
# Answers of so many rows, made of so many numbers, are written within a tenth of a millisecond.
_SMALL_ROWS = 80
_SMALL_NUMBERS = 16_384
_PROBLEMS = (
    "bad-request", "unauthorized", "unknown-model", "unknown-patch", "too-large",
    "unsupported-media", "invalid-request", "invalid-image", "wrong-model", "golden-mismatch",
    "not-finite", "overloaded", "unavailable", "integrity", "deadline-exceeded",
)  # fmt: skip


class _PredictRoute(StrictRoute):
    """Answers the usual request without FastAPI's reading of parameters, a third of its cost.

    Usual is a served model, and no query but a patch set; everything else goes the long way, which
    also says what is wrong.
    """

    def get_route_handler(self) -> Handler:
        """Put the short way in front of the long one."""
        long_way = super().get_route_handler()

        async def short_way(request: Request) -> Response:
            service = await service_of(request)
            host = service.hosts.get(request.path_params["model"])
            query = request.query_params.multi_items()
            names = [name for name, _ in query]
            if host is None or names not in ([], ["patchset"]) or len(str(query)) > _USUAL_QUERY:
                return await long_way(request)
            reader = await actor_of(request)
            answer = await predict(service, host, reader, request, dict(query).get("patchset"))
            return Response(answer.model_dump_json(by_alias=True), media_type="application/json")

        return short_way


router = APIRouter(prefix="/v1/models/{model}", tags=["Predictions"], route_class=_PredictRoute)


@router.post(
    "/predict",
    summary="Classify images",
    responses=problem_responses(*_PROBLEMS),
    openapi_extra=IMAGE_BODY,
)
async def predict(
    service: ServiceDep,
    host: HostDep,
    _reader: ReaderDep,
    request: Request,
    patchset: Annotated[
        str | None,
        Query(
            max_length=16_384,
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
) -> PredictAnswer:
    """Classify one image (the body) or several (a form's parts), with the patch set of your choice.

    The answer says which patch set and which weights made it.
    """
    upload = await read_upload(request, service.settings)
    read_at = time.perf_counter()
    timeout = _timeout(timeout_ms, upload)
    wanted = await host.choose(_patchset(patchset, upload))
    most = _top_k(top_k, upload, len(host.classes))
    images, decoded = await service.decoder.decode(upload.files)
    found = await host.predict(images, wanted, asked_at=read_at, timeout=timeout)
    observe(service, host, request, found, decoded=decoded)
    return PredictAnswer(
        model=host.name,
        patches=applied(found.patches),
        state_digest=found.state_digest,
        generation=found.generation,
        predictions=await call(
            _is_small(found.logits, most), prediction_of, found.logits, host.classes, most
        ),
        timing=Timing(
            queued_ms=found.queued * 1000,
            decode_ms=decoded * 1000,
            compute_ms=found.computed * 1000,
        ),
    )


def _patchset(query: str | None, upload: Upload) -> str:
    wanted = _one("patchset", query, upload)
    return ACTIVE if wanted is None else wanted


def _top_k(query: int | None, upload: Upload, classes: int) -> int:
    most = _number("top_k", query, upload, classes, f"1 to {classes}, the classes")
    return min(_TOP, classes) if most is None else most


def _timeout(query: int | None, upload: Upload) -> float | None:
    """In seconds."""
    span = f"1 to {_MAX_TIMEOUT} milliseconds"
    found = _number("timeout_ms", query, upload, _MAX_TIMEOUT, span)
    return None if found is None else found / 1000


def _number(
    name: str, query: int | None, upload: Upload, largest: int, expected: str
) -> int | None:
    text = _one(name, None if query is None else str(query), upload)
    if text is None:
        return None
    found = int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0
    if not 1 <= found <= largest:
        raise ProblemError("invalid-request", f"{name} is {text[:20]!a}; expected {expected}")
    return found


def _is_small(logits: Tensor, rows: int) -> bool:
    return len(logits) * rows <= _SMALL_ROWS and logits.numel() <= _SMALL_NUMBERS


def _one(name: str, query: str | None, upload: Upload) -> str | None:
    """A value that stands in the query or in the form, not differently in both."""
    form = upload.texts.get(name)
    if query is not None and form is not None and query != form:
        raise ProblemError(
            "invalid-request", f"{name} is one thing in the query, another in the form"
        )
    return query if form is None else form
