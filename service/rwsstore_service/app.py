"""The factory of the app: settings in, ASGI out."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.telemetry import TelemetryConfig
from pydantic import SecretStr
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from rwsstore import __version__
from rwsstore_service.api import about, patches, patchset, predict
from rwsstore_service.api.description.openapi import DESCRIPTION, TAGS, describe_with
from rwsstore_service.api.faults import add_handlers
from rwsstore_service.api.oip import routes as oip
from rwsstore_service.engine.records import ACTIONS, DROPPED
from rwsstore_service.engine.service import Service
from rwsstore_service.settings import Settings
from rwsstore_service.wire.gate import Access, Gate, Tokens
from rwsstore_service.wire.limits import BodyLimit, InFlight, SecurityHeaders
from rwsstore_service.wire.observability import Metrics, RequestContext, tracer_of
from rwsstore_service.wire.tokens import provide_tokens

if TYPE_CHECKING:
    from rwsstore_service.wire.otel import OtelTracer

_log = logging.getLogger(__name__)

# FastAPI's own would open connections by OTEL_… variables; ours asks for RWS_TRACING_ENDPOINT.
_NO_TELEMETRY: TelemetryConfig = {
    "auto_configure": False,
    "tracing": False,
    "metrics": False,
    "logs": False,
}
_EXPOSED = ["ETag", "Location", "Retry-After", "X-Request-ID", "Idempotency-Replayed"]


def create_app(settings: Settings, *, tokens: Tokens | None = None) -> FastAPI:
    """Make the app. The model is loaded when it starts, not before.

    Args:
        settings: what the operator chose.
        tokens: who may do what; by default those of the settings. Pass them where an admin token
            was made by `provide_tokens`, which is told only once.

    Raises:
        ConfigError: a token cannot be used, or one is needed and missing.
        MissingExtraError: tracing is asked for and not installed.
    """
    tokens = provide_tokens(settings)[0] if tokens is None else tokens
    for name in tokens.guessable:
        _log.warning(
            "the token of %r is short enough to be guessed: make one of 16 characters", name
        )
    metrics, tracer = Metrics(ACTIONS, DROPPED), tracer_of(settings)
    access = Access(settings, tokens)
    # From here on only their hashes are at hand.
    nothing = SecretStr("")
    known = settings.model_copy(update={"admin_tokens": nothing, "predict_tokens": nothing})
    service = Service(known, metrics)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(service.start)
        try:
            yield
        finally:
            await run_in_threadpool(service.stop)
            if tracer is not None:
                await run_in_threadpool(tracer.close)

    app = FastAPI(
        title="rwsstore",
        version=__version__,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        openapi_url="/openapi.json" if settings.docs else None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=_NO_TELEMETRY,
        generate_unique_id_function=attrgetter("name"),  # operationIds
        lifespan=lifespan,
        middleware=_middleware(settings, tokens, access, metrics, tracer),
    )
    app.state.service, app.state.metrics, app.state.access = service, metrics, access
    # Routes are tried one by one: what is asked most comes first. No path fits two of them.
    app.include_router(predict.router)
    app.include_router(oip.router)
    app.include_router(about.health)
    app.include_router(about.models)
    app.include_router(patchset.router)
    app.include_router(patches.router)
    app.include_router(patchset.audit)
    if settings.docs:
        app.include_router(about.pages)
    add_handlers(app)
    describe_with(app, settings, access)
    return app


def _middleware(
    settings: Settings,
    tokens: Tokens,
    access: Access,
    metrics: Metrics,
    tracer: "OtelTracer | None",
) -> list[Middleware]:
    """From the outermost on."""
    cors = Middleware(
        CORSMiddleware,
        allow_origins=list(settings.cors_origins),
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "If-Match", "Idempotency-Key"],
        expose_headers=_EXPOSED,
    )
    return [
        Middleware(SecurityHeaders, cors=bool(settings.cors_origins)),
        Middleware(RequestContext, metrics, tracer),
        *([cors] if settings.cors_origins else []),
        Middleware(Gate, settings, tokens, access),
        Middleware(InFlight, settings.max_requests),
        Middleware(BodyLimit.of, settings),
    ]
