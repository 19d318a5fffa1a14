"""The API's own pages: Swagger UI from the package, with no network."""

__all__ = ["router"]

from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool

from rwsstore_service.wire.problems import ProblemError

router = APIRouter(include_in_schema=False)

_FOLDER = Path(__file__).parents[1] / "static" / "swagger"
# By name, so that nothing from a request becomes a path.
_FILES = {
    "": "text/html; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "start.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon-32x32.png": "image/png",
}


@router.get("/docs")
async def page() -> Response:
    """The page."""
    return await _file("")


@router.get("/docs/{name}")
async def file(name: str) -> Response:
    """What the page needs."""
    return await _file(name)


async def _file(name: str) -> Response:
    """Whole: Starlette's FileResponse answers a wrong Range in plain text."""
    media_type = _FILES.get(name)
    if media_type is None:
        raise ProblemError("not-found", "there is no such page")
    data = await run_in_threadpool((_FOLDER / (name or "index.html")).read_bytes)
    return Response(data, media_type=media_type)
