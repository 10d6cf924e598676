"""The API's composition root: services and routes become one ASGI application.

Deliberately not here: the server process (``server``), settings, and what any route does.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from temporalio.converter import PayloadCodec

from activities.agents.registry import AgentRegistry
from activities.chaining.middleware import ObserveChain
from activities.clock import epoch_millis
from activities.credentials.registry import CredentialRegistry
from activities.deployments.readers import DeploymentReader
from activities.jobs.readers import JobReader
from activities.jobs.writers import JobCreator
from activities.metrics.registry import MetricRegistry
from activities.stores.open import Stores
from api.accepted import install_accepted_handler
from api.access import routes as access
from api.agents.fleet import Fleet
from api.agents.routes import agents, pools
from api.agents.schemas import GatewayAddress
from api.attempts.routes import artifacts
from api.attempts.routes import delivery as agent_io
from api.attempts.routes import inputs as attempt_inputs
from api.audit import evidence_routes as evidence
from api.audit import routes as events
from api.auth.authenticator import Authenticator
from api.auth.early import EarlyRefusal
from api.auth.guard import GUARD
from api.auth.keys import KnownKeys
from api.auth.limits import RateLimits, RequestLimits
from api.auth.sign_in import SignIn
from api.auth.vouching import Voucher
from api.auth.walk import require_complete
from api.bans import routes as bans
from api.claims import routes as claims
from api.claims.service import Claims
from api.codec import routes as codec_routes
from api.dashboard.inside import RefusedByApi
from api.dashboard.problems import ProblemPages
from api.dashboard.routes import live as live_pages
from api.dashboard.routes.kept import refused_page
from api.dashboard.routes.pages import ROUTERS as PAGES
from api.deployments.routes import commands as deployment_commands
from api.deployments.routes import deployments
from api.deps import Services
from api.environments import lane_routes as lanes
from api.environments import routes as environments
from api.environments import standing as service_standing
from api.file_schemas import routes as file_schemas
from api.http.answers import PARAMETERS
from api.http.errors import install_error_handlers
from api.http.head import AnswerHead
from api.http.hosts import KnownHosts
from api.http.metrics import Metrics
from api.http.middleware import BodyLimit, RequestContext
from api.http.pace import BodyLimits, BodyPace
from api.http.pages import PageHeaders
from api.http.times import TimesBeside
from api.identity.policy_trail import follow_policy
from api.jobs.routes import dead_letters, jobs, queue
from api.line import routes as line
from api.logs import routes as logs
from api.logs import search_routes as log_search
from api.logs import step_routes as log_steps
from api.openapi import install_openapi
from api.services.routes import definitions as service_definitions
from api.services.routes import policy as service_policy
from api.services.routes import services
from api.sign_in import routes as auth
from api.sign_in import session_routes as own_sessions
from api.storage import routes as storage
from api.system.checks import Check, files_check, keys_check, seals_check, worker_check, write_check
from api.system.routes import health as core
from api.system.routes import repairs, summary
from api.tasks import routes as tasks
from api.temporal.connection import TemporalConnection
from api.temporal.versions import RunningVersions
from api.webhooks import routes as webhook_routes
from api.webhooks.asking.catch_up import keep_catching_up
from api.webhooks.history import routes as webhook_deliveries
from api.webhooks.receive import Webhooks
from workflows.client.proving import Prover
from workflows.contracts.identity.secrets import Secret
from workflows.contracts.ids import CONTROL_QUEUE
from workflows.version import product_version

logger = logging.getLogger(__name__)

_ROUTES: Final = (
    core,
    auth,
    own_sessions,
    summary,
    jobs,
    log_search,
    log_steps,
    logs,
    artifacts,
    dead_letters,
    claims,
    queue,
    access,
    services,
    service_policy,
    service_definitions,
    bans,
    service_standing,
    environments,
    lanes,
    line,
    deployments,
    deployment_commands,
    repairs,
    events,
    evidence,
    codec_routes,
    agent_io,
    attempt_inputs,
    tasks,
    storage,
    live_pages,
    webhook_deliveries,
    pools,  # before the agents, whose ids could be any word
    agents,
)


def production_app(
    *,
    stores: Stores,
    keys: KnownKeys,
    environment: str,
    webhooks: Webhooks,
    signing_key: Secret | None = None,
    rate_limits: RateLimits | None = None,
    bodies: BodyLimits | None = None,
    hosts: frozenset[str] | None = None,
    gateway: GatewayAddress | None = None,
    codec: PayloadCodec | None = None,
    temporal_ui: str | None = None,
    temporal_workflows: str | None = None,
    dashboard: str | None = None,
    disk: Check | None = None,
    storage_folder: Path | None = None,
    sign_in: SignIn | None = None,
    voucher: Voucher | None = None,
    seal_keys: Mapping[str, str] | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> FastAPI:
    """The application on real stores and Temporal, which it connects to while it runs."""
    temporal = TemporalConnection(prover=Prover(signing_key), dashboard=dashboard)
    ways_in = sign_in or SignIn.by_key_only()
    limits = RequestLimits(rate_limits or RateLimits())
    authenticator = Authenticator(keys, stores.credentials, limits, policy=lambda: ways_in.policy, events=stores.events)
    reader = JobReader(stores.jobs)
    fleet = Fleet.of(AgentRegistry(stores.agents, middleware=[ObserveChain()]), reader, temporal.queues)
    parts = Services(
        authenticator=authenticator,
        credentials=stores.credentials,
        access=CredentialRegistry(stores.credentials, middleware=[ObserveChain()]),
        audit=stores.events,
        evidence=stores.evidence,
        seal_keys=seal_keys,
        sign_in=ways_in,
        voucher=voucher or Voucher(),
        reader=reader,
        creator=JobCreator(stores.jobs, stores.agents, [ObserveChain()]),
        deployments=deployment_reader(stores),
        logs=stores.logs,
        artifacts=stores.artifacts,
        storage=stores.storage,
        webhook_deliveries=stores.deliveries,
        measured=MetricRegistry(stores.metrics, [ObserveChain()], events=stores.events),
        temporal=temporal.job_client,
        deploying=temporal.deployment_client,
        repairing=temporal.repair_client,
        asking=temporal.task_client,
        sweeping=temporal.storage_client,
        storage_folder=storage_folder,
        metrics=Metrics(),
        fleet=fleet,
        gateway=gateway,
        codec=codec,
        claims=Claims(temporal.client, signing_key, stopping=stopping),
        environment=environment,
        temporal_workflows=temporal_workflows,
        running=RunningVersions(lambda: temporal.queues().pollers(CONTROL_QUEUE)),
        probes={
            "worker": worker_check(temporal.queues, epoch_millis),
            "store": write_check(stores.agents, epoch_millis),
            "files": files_check(stores.artifacts),
            "seals": seals_check(stores.evidence, epoch_millis),
            "keys": keys_check(),
            **({} if disk is None else {"disk": disk}),
        },
        stopping=stopping,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        connecting = asyncio.create_task(temporal.keep_trying())
        catching_up = asyncio.create_task(keep_catching_up(parts))
        telling = asyncio.create_task(follow_policy(stores.events, lambda: ways_in.policy, epoch_millis))
        for task in (connecting, telling, catching_up):
            task.add_done_callback(_say_failure)
        try:
            async with fleet.running(), parts.compactor.running(stores.logs):
                yield
        finally:
            for task in (connecting, telling, catching_up):
                task.cancel()
            await asyncio.gather(connecting, telling, catching_up, return_exceptions=True)
            await parts.claims.close()
            await authenticator.close()
            await asyncio.to_thread(stores.close)

    return build_app(parts, webhooks=webhooks, bodies=bodies, hosts=hosts, temporal_ui=temporal_ui, lifespan=lifespan)


def _say_failure(task: asyncio.Task[None]) -> None:
    """What goes on beside the requests must not end unnoticed."""
    if not task.cancelled() and task.exception() is not None:
        logger.error("Something beside the requests ended unexpectedly", exc_info=task.exception())


def deployment_reader(stores: Stores) -> DeploymentReader:
    """The read side of deployments on these stores."""
    return DeploymentReader(
        stores.deployments,
        stores.services,
        stores.environments,
        stores.events,
        [ObserveChain()],
        stores.line,
        bans=stores.bans,
    )


def build_app(
    parts: Services,
    *,
    webhooks: Webhooks | None = None,
    bodies: BodyLimits | None = None,
    hosts: frozenset[str] | None = None,
    temporal_ui: str | None = None,
    lifespan: Callable[[FastAPI], object] | None = None,
) -> FastAPI:
    """The application on given services. Without ``webhooks`` no provider is known. ``hosts``: by which names it may be
    asked; None: any. ``temporal_ui``: the origin of the Temporal UI, whose pages may use the codec.
    """
    app: FastAPI = FastAPIOffline(  # Swagger UI from the package: an agent host's browser may reach no CDN
        title="hybrid CI/CD",
        version=product_version(),
        description="Jobs and their queue, services and their deployments. Errors are `application/problem+json`.",
        docs_url="/api/docs",
        static_url="/api/docs/assets",
        redoc_url=None,
        openapi_url="/api/openapi.json",
        swagger_ui_oauth2_redirect_url="/api/docs/oauth2-redirect",  # the package insists on one
        redirect_slashes=False,  # a redirect would be a second, unguarded answer for each address
        lifespan=lifespan,  # pyright: ignore[reportArgumentType]
    )
    app.state.services = parts
    app.state.webhooks = webhooks or Webhooks.none()
    app.include_router(agents.often, dependencies=[GUARD, PARAMETERS])
    app.include_router(core.public)
    app.include_router(file_schemas.router)
    app.include_router(auth.public)
    app.include_router(webhook_deliveries.providers, dependencies=[GUARD, PARAMETERS])
    app.include_router(webhook_routes.router)  # a signature is their key
    for module in _ROUTES:
        app.include_router(module.router, dependencies=[GUARD, PARAMETERS])
    for router in PAGES:
        app.include_router(router)  # each asks the API, which decides
    require_complete(app)
    install_error_handlers(app)
    install_accepted_handler(app)
    app.add_exception_handler(RefusedByApi, refused_page)  # pyright: ignore[reportArgumentType]
    install_openapi(app)
    app.add_middleware(TimesBeside)
    if temporal_ui is not None:
        app.add_middleware(codec_routes.CodecCors, origin=temporal_ui)
    app.add_middleware(BodyLimit)
    app.add_middleware(BodyPace, limits=bodies or BodyLimits())
    app.add_middleware(EarlyRefusal, authenticator=parts.authenticator)
    app.add_middleware(PageHeaders)
    if hosts is not None:
        app.add_middleware(KnownHosts, hosts=hosts)
    app.add_middleware(RequestContext, metrics=parts.metrics)
    app.add_middleware(ProblemPages)
    app.add_middleware(AnswerHead)  # added last: outermost
    return app
