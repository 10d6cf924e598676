"""Links of services: what a chain does with a service's definition, one step each; first what they hand on."""

from collections.abc import Callable
from typing import Final, TypedDict

from codeuchain import Context

from activities.chaining.links import StoreLink, require
from activities.environments.freezes import freeze_errors
from activities.stores.interfaces import EventStore, ServiceStore
from workflows.contracts.audit.details import ServiceApplied
from workflows.contracts.audit.events import AuditEvent, EventQuery, new_event
from workflows.contracts.deployments.services import Service, ServicePage, ServiceWrite
from workflows.contracts.errors import InvalidState, NotFound, Unavailable, ValidationFailed

_TRIES: Final = 5
_LOOK_BACK: Final = 50


class ServiceContext(TypedDict, total=False):
    """What the chains of services hand on.

    ``change_id`` tells a change that is tried again; ``version`` is absent for the present one.
    """

    write: ServiceWrite
    change_id: str
    service: Service
    service_name: str
    version: int
    limit: int
    cursor: str
    page: ServicePage


class ValidateService:
    """``write`` → nothing new. Raises ValidationFailed that names every bad field.

    The shape of a definition is checked by its contract; here, what needs more than it: cron and time zones.
    """

    async def call(self, ctx: Context[ServiceContext]) -> Context[ServiceContext]:
        """Stateless and without I/O."""
        write = require(ctx, "write", ServiceWrite)
        errors = freeze_errors(write.spec)
        if errors:
            fields = ", ".join(error.field for error in errors)
            raise ValidationFailed(
                f"Service {write.name} was not changed. Correct {fields} and apply it again.", errors
            )
        return ctx


class ApplyService:
    """``write`` and ``change_id`` → ``service``. Raises InvalidState with the present ``version`` (0 for none) when
    ``expected_version`` is another one, Unavailable.

    ``change_id`` is the same each time one change is tried: a change that was stored before its answer was lost is
    known by its audit event, and not refused for the version it made itself.
    """

    def __init__(self, services: ServiceStore, events: EventStore, *, clock: Callable[[], int]) -> None:
        self._services = services
        self._events = events
        self._clock = clock

    async def call(self, ctx: Context[ServiceContext]) -> Context[ServiceContext]:
        """Optimistic: reads the present version, and again when another change came between."""
        write, change_id = require(ctx, "write", ServiceWrite), require(ctx, "change_id", str)
        for _ in range(_TRIES):
            present = await self._services.get(write.name)
            version = present.version if present is not None else 0
            if write.expected_version not in {None, version}:
                return ctx.insert("service", await self._stored_before(write, change_id, version))
            if present is not None and present.spec == write.spec:
                return ctx.insert("service", present)
            service = self._next(write, present)
            event = _event(write, change_id, service)
            if await self._services.put(service, expected_version=write.expected_version, events=[event]):
                return ctx.insert("service", service)
        raise Unavailable(
            f"Service {write.name} changes faster than this change can be stored. Apply it again.",
            service_name=write.name,
        )

    async def _stored_before(self, write: ServiceWrite, change_id: str, present: int) -> Service:
        page = await self._events.list(EventQuery(service_name=write.name, limit=_LOOK_BACK))
        made = next((event for event in page.items if event.event_id == change_id), None)
        service = await self._services.get(write.name, made.details["service_version"]) if made is not None else None
        if service is not None:
            return service
        found = f"is version {present}" if present else "does not exist"
        expected = f"version {write.expected_version}" if write.expected_version else "none"
        raise InvalidState(
            f"Service {write.name} {found}, but {expected} was expected. Look at it as it is now and apply again.",
            version=present,
        )

    def _next(self, write: ServiceWrite, present: Service | None) -> Service:
        now = self._clock()
        return Service(
            name=write.name,
            version=present.version + 1 if present is not None else 1,
            spec=write.spec,
            created_at=present.created_at if present is not None else now,
            updated_at=now,
            updated_by=write.by,
        )


class RetrieveService(StoreLink[ServiceStore]):
    """``service_name`` and, for an older one, ``version`` → ``service``. Raises NotFound, Unavailable."""

    async def call(self, ctx: Context[ServiceContext]) -> Context[ServiceContext]:
        """A consistent read."""
        name, version = require(ctx, "service_name", str), ctx.get("version")
        service = await self._store.get(name, version)
        if service is not None:
            return ctx.insert("service", service)
        if version is None:
            raise NotFound(
                f"There is no service {name}. Register it first: `hybridci service apply -f FILE`.", service_name=name
            )
        raise NotFound(
            f"There is no version {version} of service {name}. Ask without a version for the present one.",
            service_name=name,
            version=version,
        )


class ListServices(StoreLink[ServiceStore]):
    """``limit`` and, behind the first page, ``cursor`` → ``page``. Raises ValidationFailed for a foreign cursor,
    Unavailable.
    """

    async def call(self, ctx: Context[ServiceContext]) -> Context[ServiceContext]:
        """By name."""
        page = await self._store.list(limit=require(ctx, "limit", int), cursor=ctx.get("cursor"))
        return ctx.insert("page", page)


def _event(write: ServiceWrite, change_id: str, service: Service) -> AuditEvent:
    return new_event(
        ServiceApplied(service_version=service.version),
        write,
        event_id=change_id,
        at=service.updated_at,
        service_name=service.name,
        message=f"{service.name} has definition {service.version}",
    )
