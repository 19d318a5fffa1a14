"""The patches of the store: list, upload, describe, download, delete; compositions."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from rwsstore.corruptions import CORRUPTIONS
from rwsstore.patches import RobustnessCard
from rwsstore.store import Sort
from rwsstore_client.contract import Card, CardPoint, Patch, PatchPage
from rwsstore_service.api.contract import CompositionRequest, Name
from rwsstore_service.api.description.openapi import LOCATION
from rwsstore_service.api.patchset import resolved_parts
from rwsstore_service.api.requests import (
    CHANGE_PROBLEMS,
    Ask,
    AskDep,
    PatchPath,
    ServiceDep,
    StrictRoute,
)
from rwsstore_service.engine.finding import Choice
from rwsstore_service.engine.journal import Recorded
from rwsstore_service.engine.library import Described, Library, Listing
from rwsstore_service.wire.problems import ProblemError, problem_responses


def patch_answer(described: Described) -> Patch:
    """One patch of the store."""
    metadata = described.contents.metadata
    members = {
        **dict(metadata),  # what has the same name in both
        "name": described.name,
        "version": described.version,
        "digest": described.digest,
        "alpha": metadata.alpha.recommended,
        "alpha_minimum": metadata.alpha.minimum,
        "alpha_maximum": metadata.alpha.maximum,
        "parts": resolved_parts(described.parts),
        "fits": described.fits,
        "touched_bytes": described.touched_bytes,
        "payload_bytes": described.contents.payload_bytes,
        "file_bytes": described.contents.file_bytes,
        "layer": described.layer,
        "card": _card(metadata.card),
    }
    return Patch.model_validate(members)


def _card(card: RobustnessCard | None) -> Card | None:
    if card is None:
        return None
    points = tuple(
        CardPoint(alpha=point.alpha, ta=round(point.ta, 6), ra=round(point.ra, 6))
        for point in card.points
    )
    return Card(images=card.images, points=points)


router = APIRouter(prefix="/v1", tags=["Patches"], route_class=StrictRoute)

_READ = ("unauthorized", "invalid-request", "rate-limited", "overloaded", "integrity")
_MEDIA_TYPE = "application/octet-stream"
_FILE: dict[str, Any] = {
    "content": {_MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}
}

_CONTENT_HEADERS = {
    "headers": {
        "ETag": {
            "description": "The patch's digest in quotes.",
            "required": True,
            "schema": {"type": "string", "pattern": '^"[0-9a-f]{64}"$'},
        },
        "Content-Disposition": {
            "description": "A file name of the digest's first digits.",
            "schema": {"type": "string"},
        },
    }
}


@router.get("/patches", summary="List patches", responses=problem_responses(*_READ))
async def list_patches(
    service: ServiceDep,
    kind: Annotated[
        str | None, Query(max_length=64, description="Of this kind: rws, composed, ...")
    ] = None,
    corruption: Annotated[
        str | None,
        Query(
            max_length=64,
            description="For this corruption: " + ", ".join(CORRUPTIONS),
            examples=["fog"],
        ),
    ] = None,
    bits: Annotated[
        int | None, Query(ge=2, le=32, description="Of so many bits: 32, 16, 8, 4, 3 or 2.")
    ] = None,
    fits: Annotated[
        bool | None, Query(description="Made for the served model, or not; both if left out.")
    ] = None,
    all_versions: Annotated[bool, Query(description="Older versions too.")] = False,
    sort: Annotated[
        Sort,
        Query(
            description="By name; or what touches the fewest bytes of the model (touched), or "
            "takes the fewest itself (payload), first."
        ),
    ] = "name",
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many.")] = 100,
    offset: Annotated[int, Query(ge=0, lt=2**31, description="Leave out so many.")] = 0,
) -> PatchPage:
    """The patches of the store, each with its robustness card."""
    wanted = Listing(kind, corruption, bits, fits, all_versions, sort)
    patches, total = await run_in_threadpool(service.library.list, wanted, offset, limit)
    return PatchPage(patches=tuple(map(patch_answer, patches)), total=total)


@router.post(
    "/patches",
    summary="Upload a patch",
    status_code=201,
    response_model=Patch,
    responses={
        201: LOCATION,
        **problem_responses(
            *CHANGE_PROBLEMS, "invalid-patch", "conflict", "duplicate-patch", "unknown-patch",
            "wrong-model", "not-finite", "read-only",
        ),
    },
    openapi_extra={"requestBody": {"required": True, "description": "The patch's file.", **_FILE}},
)  # fmt: skip
async def upload_patch(
    ask: AskDep,
    request: Request,
    name: Annotated[
        Name | None, Query(description="To store it under; its own name if left out.")
    ] = None,
    expected_version: Annotated[
        int | None,
        Query(ge=0, lt=2**31, description="The name's latest version as it was seen; 0: none."),
    ] = None,
) -> Response:
    """Store a patch file as the latest version of its name.

    It is read and checked in full first. Nothing is put on the model.
    """
    media = request.headers.get("content-type", _MEDIA_TYPE).partition(";")[0].strip().lower()
    if media != _MEDIA_TYPE:
        raise ProblemError("unsupported-media", f"a patch is sent as {_MEDIA_TYPE}")
    body = await request.body()

    def publish(library: Library) -> Recorded:
        return _created(ask, library.publish(body, ask.actor, name=name, expected=expected_version))

    return await ask.change_store("publish", publish)


@router.get(
    "/patches/{patch}",
    summary="Describe a patch",
    responses=problem_responses("unknown-patch", *_READ),
)
async def describe_patch(service: ServiceDep, patch: PatchPath) -> Patch:
    """What it is for, which strengths it takes, and what it buys and costs."""
    return patch_answer(await run_in_threadpool(service.library.describe, patch))


@router.get(
    "/patches/{patch}/content",
    summary="Download a patch",
    response_class=Response,
    responses={
        200: {"description": "The patch's file.", **_CONTENT_HEADERS, **_FILE},
        **problem_responses("unknown-patch", *_READ),
    },
)
async def download_patch(service: ServiceDep, patch: PatchPath) -> Response:
    """The exact bytes that the digest is of; they are hashed on the way."""
    digest, data = await run_in_threadpool(service.library.content, patch)
    name = f"{digest[:16]}.safetensors"
    headers = {"ETag": f'"{digest}"', "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, headers=headers, media_type=_MEDIA_TYPE)


@router.delete(
    "/patches/{patch}",
    summary="Delete a patch",
    status_code=204,
    response_class=Response,
    responses=problem_responses(*CHANGE_PROBLEMS, "unknown-patch", "patch-in-use", "read-only"),
)
async def delete_patch(ask: AskDep, service: ServiceDep, patch: PatchPath) -> Response:
    """Delete a name with all its versions.

    Not while the active patch set or the history refers to one of them, nor what comes with
    rwsstore.
    """

    def delete(library: Library) -> Recorded:
        library.delete(patch, ask.actor, active=service.host.digests_on)
        return ask.answer(204)

    return await ask.change_store("delete", delete)


@router.post(
    "/compositions",
    summary="Compose patches into one",
    status_code=201,
    response_model=Patch,
    responses={
        201: LOCATION,
        **problem_responses(
            *CHANGE_PROBLEMS, "conflict", "duplicate-patch", "unknown-patch", "wrong-model",
            "read-only",
        ),
    },
)  # fmt: skip
async def compose_patches(ask: AskDep, wanted: CompositionRequest) -> Response:
    """Store several patches, or one, at fixed strengths under a name of their own.

    The composed patch holds no tensors: it equals its parts at these strengths to the bit.
    """
    choices = [Choice(one.patch, one.alpha, one.ta_loss) for one in wanted.parts]

    def compose(library: Library) -> Recorded:
        expected = wanted.expected_version
        return _created(ask, library.compose(wanted.name, choices, ask.actor, expected=expected))

    return await ask.change_store("compose", compose)


def _created(ask: Ask, described: Described) -> Recorded:
    place = f"/v1/patches/{described.name}@{described.version}"
    return ask.answer(201, patch_answer(described), Location=place)
