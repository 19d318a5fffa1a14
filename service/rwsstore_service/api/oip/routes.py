"""The Open Inference Protocol: for clients that speak it already."""

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

import rwsstore
from rwsstore_service.api.oip.contract import (
    VERSION,
    Contract,
    IndexEntry,
    InferResponse,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from rwsstore_service.api.oip.messages import read_index_request, read_request, write_answer
from rwsstore_service.api.predict import call, observe
from rwsstore_service.api.requests import HostDep, ServiceDep
from rwsstore_service.engine.host import ModelHost
from rwsstore_service.wire.problems import ProblemError, problem_responses

HEADER_LENGTH = "Inference-Header-Content-Length"
"""Where a body is JSON and binary tensors: how many bytes of it are JSON."""

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])

_EXTENSIONS = ["binary_tensor_data", "repository_index", "patchset"]
# What is read and written within a tenth of a millisecond or two.
_SMALL_BYTES = 8 * 1024
_SMALL_NUMBERS = 256
_ANY = ("rate-limited", "overloaded")
_READING = ("unauthorized", *_ANY)
_OF_A_MODEL = ("unknown-model", "invalid-request", *_READING)
_INFER = (
    "bad-request", "unknown-patch", "too-large", "unsupported-media", "wrong-model", "not-finite",
    "unavailable", "integrity", "deadline-exceeded", *_OF_A_MODEL,
)  # fmt: skip


async def _known_version(
    version: Annotated[str, Path(description="1: models have one version.", examples=[VERSION])],
) -> None:
    if version != VERSION:
        raise ProblemError(
            "unknown-model", f"no version {version[:40]!a} of this model; it has one, {VERSION!r}"
        )


_VERSIONED = [Depends(_known_version)]


# First, as it is asked most: routes are tried one by one.
@router.post(
    "/models/{model}/versions/{version}/infer",
    operation_id="oip_infer_version",
    summary="Predict with one version of a model",
    response_model=InferResponse,
    responses=problem_responses(*_INFER),
    dependencies=_VERSIONED,
)
@router.post(
    "/models/{model}/infer",
    operation_id="oip_infer",
    summary="Predict",
    response_model=InferResponse,
    responses=problem_responses(*_INFER),
)
async def infer(request: Request, host: HostDep, service: ServiceDep) -> Response:
    """Logits and labels of images.

    They are sent as JSON, or as JSON with the tensors in binary behind it. `parameters.patchset`
    chooses the weights: `active`, `none`, or a set of this request's own (`fog=0.6`);
    `parameters.timeout` says within how many microseconds the request is to be begun.
    """
    contract = _contract(host, service.settings.max_images)
    lengths = request.headers.getlist(HEADER_LENGTH)
    if len(lengths) > 1:
        raise ProblemError("bad-request", f"{HEADER_LENGTH} is sent {len(lengths)} times")
    length = lengths[0] if lengths else None
    body = await request.body()
    read_at = time.perf_counter()
    asked = await call(len(body) <= _SMALL_BYTES, read_request, body, length, contract)
    wanted = await host.choose(asked.patchset)
    prediction = await host.predict(asked.images, wanted, asked_at=read_at, timeout=asked.timeout)
    observe(request, host, prediction)
    small = prediction.logits.numel() <= _SMALL_NUMBERS
    written = await call(small, write_answer, asked, prediction, contract)
    if written.header_length is None:
        return Response(written.body, media_type="application/json")
    return Response(
        written.body,
        media_type="application/octet-stream",
        headers={HEADER_LENGTH: str(written.header_length)},
    )


@router.get(
    "", operation_id="oip_server", summary="What serves", responses=problem_responses(*_READING)
)
async def describe_server() -> ServerMetadata:
    """Name, version and the extensions of the protocol that are supported."""
    return ServerMetadata(name="rwsstore", version=rwsstore.__version__, extensions=_EXTENSIONS)


@router.get("/health/live", operation_id="oip_live", summary="Whether the process answers")
async def live() -> ServerLive:
    """As /livez."""
    return ServerLive(live=True)


@router.get(
    "/health/ready",
    operation_id="oip_ready",
    summary="Whether every model can predict",
    responses=problem_responses("unavailable"),
)
async def ready(service: ServiceDep) -> ServerReady:
    """As /readyz."""
    if not service.ready:
        raise ProblemError("unavailable", service.why_not_ready)
    return ServerReady(ready=True)


@router.get(
    "/models/{model}",
    operation_id="oip_model",
    summary="A model's inputs and outputs",
    responses=problem_responses(*_OF_A_MODEL),
    response_model_exclude_unset=True,
)
@router.get(
    "/models/{model}/versions/{version}",
    operation_id="oip_model_version",
    summary="A model's inputs and outputs, of one version",
    responses=problem_responses(*_OF_A_MODEL),
    response_model_exclude_unset=True,
    dependencies=_VERSIONED,
)
async def describe_model(host: HostDep, service: ServiceDep) -> ModelMetadata:
    """Input images, as UINT8 or as FP32 within [0, 1]; outputs logits and labels."""
    return _contract(host, service.settings.max_images).metadata()


@router.get(
    "/models/{model}/ready",
    operation_id="oip_model_ready",
    summary="Whether a model can predict",
    responses=problem_responses(*_OF_A_MODEL, "unavailable"),
)
@router.get(
    "/models/{model}/versions/{version}/ready",
    operation_id="oip_model_version_ready",
    summary="Whether one version of a model can predict",
    responses=problem_responses(*_OF_A_MODEL, "unavailable"),
    dependencies=_VERSIONED,
)
async def model_ready(host: HostDep) -> ModelReady:
    """200 where it can, 503 where it cannot now."""
    if not host.ready:
        why = host.fault or f"model {host.name!a} does not compute now"
        raise ProblemError("unavailable", why)
    return ModelReady(name=host.name, ready=True)


@router.post(
    "/repository/index",
    operation_id="oip_repository_index",
    summary="List the models",
    responses=problem_responses(
        "bad-request", "too-large", "unsupported-media", "invalid-request", *_READING
    ),
)
async def list_models(request: Request, service: ServiceDep) -> list[IndexEntry]:
    """Every served model; with `ready` true only those that can predict."""
    asked = read_index_request(await request.body())
    hosts = [host for host in service.hosts.values() if host.ready or not asked.ready]
    return [
        IndexEntry(
            name=host.name,
            version=VERSION,
            state="READY" if host.ready else "UNAVAILABLE",
            reason="" if host.ready else host.fault or "it does not compute now",
        )
        for host in hosts
    ]


def _contract(host: ModelHost, max_images: int) -> Contract:
    return Contract(
        model=host.name, size=host.spec.input_size, classes=host.classes, max_images=max_images
    )
