"""A small app behind the middleware, and ways to ask it."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx
from fastapi import APIRouter, FastAPI, Request, Response
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rwsstore_service.wire.observability import Metrics, RequestContext
from rwsstore_service.wire.otel import OtelTracer
from rwsstore_service.wire.problems import ProblemError, problem_response

ACCESS = "rwsstore_service.access"


@dataclass(frozen=True)
class Principal:
    name: str


def make_app(metrics: Metrics, tracer: OtelTracer | None = None) -> FastAPI:
    """Routes with and without prefixes, plain ones, a mount, and some that fail."""
    app = FastAPI(openapi_url=None, middleware=[Middleware(RequestContext, metrics, tracer)])
    models = APIRouter(prefix="/models")

    @models.post("/{model}/predict")
    async def predict(model: str, request: Request) -> dict[str, str]:
        if request.state.span is not None:
            request.state.span.predicted(
                model=model,
                state_digest="d" * 64,
                images=3,
                queued=0.25,
                decoded=None if model == "arrays" else 0.5,
                computed=1.0,
            )
        return {"model": model, "request_id": request.state.request_id}

    @models.get("/{model}/refused/{kind}")
    async def refused(model: str, kind: str, request: Request) -> Response:
        error = ProblemError(kind, f"{model} is refused", type="urn:rwsstore:problem:forbidden")
        return problem_response(error, instance=request.url.path, request_id="")

    @models.get("/{model}/fails")
    async def fails(model: str) -> None:
        logging.getLogger("rwsstore_service.test").warning("about to fail")
        raise RuntimeError(f"the secret of {model}")

    @app.get("/livez")
    async def livez() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz(request: Request) -> Response:
        error = ProblemError("unavailable", "not yet")
        return problem_response(error, instance=request.url.path, request_id="")

    @app.get("/who")
    async def who(request: Request) -> Response:
        request.state.principal = Principal("camera")
        return Response(headers={"X-Request-ID": "not-this-one", "X-Kept": "yes"})

    inner = APIRouter()
    inner.add_route("/plain/{thing}", plain)
    v1 = APIRouter()
    v1.include_router(models, prefix="/v1")
    v1.include_router(inner, prefix="/inner")
    app.include_router(v1)
    app.add_route("/outer/{thing}", plain)
    app.mount("/static", static)
    return app


async def plain(request: Request) -> Response:
    return PlainTextResponse("plain")


async def static(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("static")(scope, receive, send)


@dataclass
class Watched:
    """An app in the middleware, and what it counts."""

    app: ASGIApp
    metrics: Metrics

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Send one request."""
        return self.ask_all([(method, path)], headers)[0]

    def ask_all(
        self, asked: list[tuple[str, str]], headers: Mapping[str, str] | None = None
    ) -> list[httpx.Response]:
        """Send requests one after the other."""

        async def send() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self.app, client=("192.0.2.7", 1234))
            async with httpx.AsyncClient(transport=transport, base_url="http://box") as client:
                return [await client.request(*one, headers=headers) for one in asked]

        return asyncio.run(send())

    def count(self, name: str, **labels: str) -> float | None:
        """Read a metric."""
        return self.metrics.registry.get_sample_value(f"rwsstore_{name}", labels)


def watched(tracer: OtelTracer | None = None) -> Watched:
    """Make the app, with its middleware."""
    metrics = Metrics()
    return Watched(make_app(metrics, tracer), metrics)


def around(app: ASGIApp) -> Watched:
    """Put an app of its own into the middleware."""
    metrics = Metrics()
    return Watched(RequestContext(app, metrics), metrics)


def run_raw(app: ASGIApp, scope: Scope, received: Sequence[Message] = ()) -> list[Message]:
    """Run one request by hand; what the app sent comes back."""
    sent: list[Message] = []
    waiting = iter(received)

    async def receive() -> Message:
        return next(waiting)

    async def send(message: Message) -> None:
        sent.append(message)

    async def run() -> None:
        await app(scope, receive, send)

    asyncio.run(run())
    return sent


def http_scope(path: str = "/x", headers: list[tuple[bytes, bytes]] | None = None) -> Scope:
    """Give the scope of a GET request without anything optional."""
    return {"type": "http", "method": "GET", "path": path, "headers": headers or []}


def access(lines: list[logging.LogRecord]) -> list[dict[str, object]]:
    """Give the fields of the access lines."""
    return [vars(line) for line in lines if line.name == ACCESS]
