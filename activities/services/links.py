"""Links of services: what a chain does with a service's definition, one step each; first what they hand on."""

from collections.abc import Callable
from typing import Final, TypedDict

from codeuchain import Context

from activities.chaining.links import StoreLink, require
from activities.environments.freezes import freeze_errors
from activities.services.changes import another_version, decided, event, nothing_waits, require_person, too_fast, waits
from activities.services.standing import Occupancy
from activities.stores.interfaces.events import EventStore
from activities.stores.interfaces.services import ServiceStore
from workflows.contracts.audit.details import (
    PolicyChanged,
    PolicyChangeDropped,
    PolicyChangeRequested,
    ServiceApplied,
    ServiceStandingChanged,
)
from workflows.contracts.audit.events import AuditEvent, EventQuery
from workflows.contracts.deployments.policy import (
    DecidePolicyChange,
    definition_errors,
    no_second_person,
    policy_changes,
)
from workflows.contracts.deployments.services import (
    Archived,
    PolicyChange,
    Service,
    ServicePage,
    ServiceSpec,
    ServiceWrite,
)
from workflows.contracts.deployments.standing import ChangeStanding, Occupied, ServiceStanding
from workflows.contracts.errors import InvalidState, NotFound, ValidationFailed

_TRIES: Final = 5
_LOOK_BACK: Final = 50


class ServiceContext(TypedDict, total=False):
    """What the chains of services hand on.

    ``change_id`` tells a change that is tried again; ``version`` is absent for the present one.
    """

    write: ServiceWrite
    decision: DecidePolicyChange
    standing: ChangeStanding
    change_id: str
    service: Service
    service_name: str
    version: int
    limit: int
    cursor: str
    page: ServicePage


class ValidateService:
    """``write`` → nothing new. Raises ValidationFailed that names every bad field.

    The shape of a definition is checked by its contract; here, what needs more than it (cron and time zones), and what
    services that are stored already may lack: the policy of a definition in the repository, and who may read it.
    """

    async def call(self, ctx: Context[ServiceContext]) -> Context[ServiceContext]:
        """Stateless and without I/O."""
        write = require(ctx, "write", ServiceWrite)
        errors = [*freeze_errors(write.spec), *definition_errors(write.spec)]
        if errors:
            fields = ", ".join(error.field for error in errors)
            raise ValidationFailed(
                f"Service {write.name} was not changed. Correct {fields} and apply it again.", errors
            )
        return ctx


class _Changing:
    """A change of a stored service: tried again under its ``change_id`` it is known by its audit event."""

    def __init__(
        self,
        services: ServiceStore,
        events: EventStore,
        *,
        clock: Callable[[], int],
        occupancy: Occupancy | None = None,
    ) -> None:
        self._services = services
        self._events = events
        self._clock = clock
        self._occupancy = occupancy

    async def _made_before(self, name: str, change_id: str) -> Service | None:
        """What this very change has stored already."""
        page = await self._events.list(EventQuery(service_name=name, limit=_LOOK_BACK))
        made = next((each for each in page.items if each.event_id == change_id), None)
        return None if made is None else await self._services.get(name, made.details["service_version"])

    def _next(self, name: str, spec: ServiceSpec, by: str, present: Service | None) -> Service:
        now, there = self._clock(), None if present is None or present.deleted else present
        return Service(
            name=name,
            version=present.version + 1 if present is not None else 1,
            spec=spec,
            created_at=there.created_at if there is not None else now,
            updated_at=now,
            updated_by=by,
            archived=there.archived if there is not None else None,
        )

    async def _require_none_lost(self, name: str, present: Service | None, spec: ServiceSpec) -> None:
        if self._occupancy is not None and present is not None and not present.deleted:
            await self._occupancy.require_none_lost(name, present.spec, spec)


class ApplyService(_Changing):
    """``write`` and ``change_id`` → ``service``. Raises InvalidState with the present ``version`` (0 for none) when
    ``expected_version`` is another one, Unavailable.

    Where the present service asks for a second person, another policy waits in the next version for one.
    ``change_id`` is the same each time one change is tried: a change that was stored before its answer was lost is
    known by its audit event, and not refused for the version it made itself; so is one whose workflow was taken back
    and runs again.
    """

    async def call(self, ctx: Context[ServiceContext]) -> Context[ServiceContext]:
        """Optimistic: reads the present version, and again when another change came between."""
        write, change_id = require(ctx, "write", ServiceWrite), require(ctx, "change_id", str)
        for _ in range(_TRIES):
            present = await self._services.get(write.name)
            if (made := await self._made_before(write.name, change_id)) is not None:
                return ctx.insert("service", made)
            there = present if present is not None and not present.deleted else None
            version = there.version if there is not None else 0
            if write.expected_version not in {None, version}:
                raise another_version(write, version)
            if there is not None and (there.spec == write.spec or waits(there, write)):
                return ctx.insert("service", there)
            await self._require_none_lost(write.name, there, write.spec)
            service, events = self._changed(write, change_id, present)
            if await self._services.put(service, expected_version=service.version - 1, events=events):
                return ctx.insert("service", service)
        raise too_fast(write.name)

    def _changed(
        self, write: ServiceWrite, change_id: str, present: Service | None
    ) -> tuple[Service, list[AuditEvent]]:
        service = self._next(write.name, write.spec, write.by, present)
        if present is not None and present.deleted:
            present = None
        changes = policy_changes(present.spec, write.spec) if present is not None else []
        if present is not None and changes and present.spec.policy_change_needs_second_person:
            require_person(write)
            waiting = PolicyChange(
                spec=write.spec,
                changes=changes,
                asked_by=write.by,
                identity=write.identity,
                asked_at=service.updated_at,
            )
            service = service.model_copy(update={"spec": present.spec, "policy_change": waiting})
            asked = PolicyChangeRequested(service_version=service.version, changes=changes)
            events = [event(asked, write, change_id, service, "waits for a second person")]
        else:
            applied = ServiceApplied(service_version=service.version)
            events = [event(applied, write, change_id, service, f"has definition {service.version}")]
            if changes:
                changed = PolicyChanged(service_version=service.version, changes=changes)
                events.append(event(changed, write, f"{change_id}-policy", service, "has another policy"))
        lost = present.policy_change if present is not None else None
        if lost is not None:
            dropped = PolicyChangeDropped(service_version=service.version, changes=lost.changes, asked_by=lost.asked_by)
            words = f"took the place of a change that {lost.asked_by} had asked for"
            events.append(event(dropped, write, f"{change_id}-dropped", service, words))
        return service, events


class DecideOnPolicy(_Changing):
    """``decision`` and ``change_id`` → ``service``. Raises InvalidState when no change waits in that version, or when
    who asked for it says yes; Unavailable.
    """

    async def call(self, ctx: Context[ServiceContext]) -> Context[ServiceContext]:
        """What was decided makes the next version: with the change, or without it."""
        decision, change_id = require(ctx, "decision", DecidePolicyChange), require(ctx, "change_id", str)
        present = await self._services.get(decision.name)
        change = present.policy_change if present is not None else None
        if present is None or present.deleted or change is None or present.version != decision.version:
            made = await self._made_before(decision.name, change_id)
            if made is None:
                raise nothing_waits(decision, present)
            return ctx.insert("service", made)
        if decision.approve and (why := no_second_person(change, decision)) is not None:
            raise InvalidState(f"This change of {decision.name}'s policy waits for a second person, and {why}.")
        spec = change.spec if decision.approve else present.spec
        await self._require_none_lost(decision.name, present, spec)
        service = self._next(decision.name, spec, decision.by, present)
        events = decided(decision, change_id, service, change)
        if await self._services.put(service, expected_version=present.version, events=events):
            return ctx.insert("service", service)
        raise too_fast(decision.name)  # what was decided on is gone: the next try says so


class RetrieveService(StoreLink[ServiceStore]):
    """``service_name`` and, for an older one, ``version`` → ``service``. Raises NotFound, Unavailable."""

    async def call(self, ctx: Context[ServiceContext]) -> Context[ServiceContext]:
        """A consistent read."""
        name, version = require(ctx, "service_name", str), ctx.get("version")
        service = await self._store.get(name, version)
        if service is not None and not service.deleted:
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


class ChangeStandingOfService(_Changing):
    """``standing`` and ``change_id`` → ``service``. Raises NotFound, InvalidState with what stands in the way."""

    async def call(self, ctx: Context[ServiceContext]) -> Context[ServiceContext]:
        """Optimistic, as ``ApplyService``."""
        asked, change_id = require(ctx, "standing", ChangeStanding), require(ctx, "change_id", str)
        for _ in range(_TRIES):
            if (made := await self._made_before(asked.name, change_id)) is not None:
                return ctx.insert("service", made)
            present = await self._services.get(asked.name)
            if present is None or present.deleted:
                raise NotFound(f"There is no service {asked.name}.", service_name=asked.name)
            if asked.to is not ServiceStanding.IN_USE:
                await self._require_free(asked, present)
            if asked.to is not ServiceStanding.DELETED and (present.archived is None) == (
                asked.to is ServiceStanding.IN_USE
            ):
                return ctx.insert("service", present)
            service, noted = self._standing(asked, change_id, present)
            if await self._services.put(service, expected_version=present.version, events=[noted]):
                return ctx.insert("service", service)
        raise too_fast(asked.name)

    async def _require_free(self, asked: ChangeStanding, present: Service) -> None:
        if asked.to is ServiceStanding.DELETED and present.archived is None:
            raise InvalidState(
                f"Service {asked.name} is in use. Archive it first: `hybridci service archive {asked.name} --reason …`."
            )
        if asked.to is ServiceStanding.DELETED and present.spec.policy_change_needs_second_person:
            raise InvalidState(
                f"Service {asked.name} was not deleted: its policy changes by two persons, and a new registration "
                "sets one alone. Take `policy_change_needs_second_person` away first; a second person agrees to that."
            )
        found = Occupied() if self._occupancy is None else await self._occupancy.of_service(asked.name)
        said = [*found.under_way, *(found.live if asked.to is ServiceStanding.DELETED else [])]
        if said:
            word = "deleted" if asked.to is ServiceStanding.DELETED else "archived"
            raise InvalidState(f"Service {asked.name} was not {word}: {'; '.join(said[:10])}.")

    def _standing(self, asked: ChangeStanding, change_id: str, present: Service) -> tuple[Service, AuditEvent]:
        service = self._next(asked.name, present.spec, asked.by, present)
        mark = Archived(by=asked.by, at=service.updated_at, reason=asked.reason)
        changes = {
            ServiceStanding.ARCHIVED: {"archived": mark},
            ServiceStanding.IN_USE: {"archived": None},
            ServiceStanding.DELETED: {"deleted": True},
        }[asked.to]
        waits = None if asked.to is ServiceStanding.DELETED else present.policy_change
        service = service.model_copy(update={**changes, "policy_change": waits})
        what = ServiceStandingChanged(to=asked.to, service_version=service.version)
        words = {
            ServiceStanding.ARCHIVED: "is archived: nothing of it is started any more",
            ServiceStanding.IN_USE: "is in use again",
            ServiceStanding.DELETED: "is deleted; its deployments and this trail stay",
        }[asked.to]
        return service, event(what, asked, change_id, service, words, reason=asked.reason or None)


class ListServices(StoreLink[ServiceStore]):
    """``limit`` and, behind the first page, ``cursor`` → ``page``. Raises ValidationFailed for a foreign cursor,
    Unavailable.
    """

    async def call(self, ctx: Context[ServiceContext]) -> Context[ServiceContext]:
        """By name. A page is short by those that were deleted."""
        page = await self._store.list(limit=require(ctx, "limit", int), cursor=ctx.get("cursor"))
        there = [item for item in page.items if not item.deleted]
        return ctx.insert("page", page.model_copy(update={"items": there}))
