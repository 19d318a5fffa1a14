"""The API's own pages: Swagger UI from the package, with no network."""

__all__ = ["router"]

from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from rwsstore_service.problems import ProblemError

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
    return _file("")


@router.get("/docs/{name}")
async def file(name: str) -> Response:
    """What the page needs."""
    return _file(name)


def _file(name: str) -> Response:
    media_type = _FILES.get(name)
    if media_type is None:
        raise ProblemError("not-found", "there is no such page")
    return FileResponse(_FOLDER / (name or "index.html"), media_type=media_type)
