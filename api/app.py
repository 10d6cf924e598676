"""The API's composition root: services and routes become one ASGI application.

Deliberately not here: the server process (``server``), settings, and what any route does.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from activities.chains.readers import JobReader
from activities.stores.open import Stores
from api.auth.guard import ADMIN, AGENT
from api.auth.keys import KeyRing
from api.connection import TemporalConnection
from api.deps import Services
from api.errors import install_error_handlers
from api.metrics import Metrics
from api.middleware import BodyLimit, RequestContext
from api.openapi import install_openapi
from api.routes import agent_io, artifacts, core, dead_letters, jobs, logs, queue
from api.version import product_version


def production_app(
    *, stores: Stores, keys: KeyRing, environment: str, stopping: Callable[[], bool] = lambda: False
) -> FastAPI:
    """The application on real stores and Temporal, which it connects to while it runs."""
    temporal = TemporalConnection()
    services = Services(
        keys=keys,
        reader=JobReader(stores.jobs),
        logs=stores.logs,
        artifacts=stores.artifacts,
        temporal=temporal,
        metrics=Metrics(),
        environment=environment,
        stopping=stopping,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        connecting = asyncio.create_task(temporal.keep_trying())
        try:
            yield
        finally:
            connecting.cancel()
            with suppress(asyncio.CancelledError):
                await connecting
            await asyncio.to_thread(stores.close)

    return build_app(services, lifespan=lifespan)


def build_app(services: Services, *, lifespan: Callable[[FastAPI], object] | None = None) -> FastAPI:
    """The application on given services."""
    app: FastAPI = FastAPIOffline(  # Swagger UI from the package: an agent host's browser may reach no CDN
        title="hybrid CI/CD",
        version=product_version(),
        description="Jobs, their queue and their dead letters. Errors are `application/problem+json`.",
        docs_url="/api/docs",
        static_url="/api/docs/assets",
        redoc_url=None,
        openapi_url="/api/openapi.json",
        swagger_ui_oauth2_redirect_url="/api/docs/oauth2-redirect",  # the package insists on one
        redirect_slashes=False,  # a redirect would be a second, unguarded answer for each address
        lifespan=lifespan,  # pyright: ignore[reportArgumentType]
    )
    app.state.services = services
    app.include_router(core.public)
    for module in (core, jobs, logs, artifacts, dead_letters, queue):
        app.include_router(module.router, dependencies=[ADMIN])
    app.include_router(agent_io.router, dependencies=[AGENT])
    install_error_handlers(app)
    install_openapi(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(RequestContext, metrics=services.metrics)  # added last: outermost
    return app
