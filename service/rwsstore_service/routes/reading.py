"""Reading JSON bodies as strictly as everything else that comes in."""

__all__ = ["JsonRoute"]

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from rwsstore_service.problems import ProblemError

_MEDIA_TYPE = "application/json"
# The largest body that means something is a patch set of 1,000 patches.
_MOST_CONTAINERS = 4096

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class JsonRoute(APIRoute):
    """A route whose JSON body is read here, before FastAPI looks at it.

    FastAPI lets a name stand twice in an object (the last counts), reads a body of another kind as
    if it were the value, and says of most of what cannot be read only that it cannot.
    """

    def get_route_handler(self) -> Handler:
        """Put the reading in front of the route."""
        handler = super().get_route_handler()

        async def read_first(request: Request) -> Response:
            read = _Read(request.scope, request.receive)
            body = await read.body()
            if self.body_field is not None and body:
                _check_media(request)
                read.value = _parse(body)
            return await handler(read)

        return read_first


class _Read(Request):
    """A request whose JSON has been read."""

    value: Any = None

    async def json(self) -> Any:
        return self.value


def _check_media(request: Request) -> None:
    media = request.headers.get("content-type", "")
    if media.partition(";")[0].strip().lower() != _MEDIA_TYPE:
        raise ProblemError(
            "unsupported-media", f"Content-Type is {media[:60]!a}; expected {_MEDIA_TYPE}"
        )


def _parse(body: bytes) -> Any:
    """Read JSON. NaN and numbers that are too large stay what they are: they are refused by name.

    Raises:
        ProblemError: it is none, nested too deeply, or has a name twice in an object.
    """
    if body.count(b"[") + body.count(b"{") > _MOST_CONTAINERS:
        raise ProblemError("bad-request", "the JSON holds more lists and objects than any request")
    try:
        return json.loads(str(body, "utf-8"), object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        found = str(error).encode("ascii", "backslashreplace").decode()[:200]
        raise ProblemError("bad-request", f"the JSON cannot be read: {found}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return made
