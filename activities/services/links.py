"""Links of services: what a chain does with a service's definition, one step each; first what they hand on."""

from collections.abc import Callable
from typing import Final, TypedDict

from codeuchain import Context

from activities.chaining.links import StoreLink, require
from activities.environments.freezes import freeze_errors
from activities.stores.interfaces import EventStore, ServiceStore
from workflows.contracts.audit.details import (
    Details,
    PolicyChanged,
    PolicyChangeDropped,
    PolicyChangeRejected,
    PolicyChangeRequested,
    ServiceApplied,
)
from workflows.contracts.audit.events import AuditEvent, EventQuery, new_event
from workflows.contracts.deployments.policy import (
    DecidePolicyChange,
    definition_errors,
    no_second_person,
    policy_changes,
)
from workflows.contracts.deployments.services import PolicyChange, Service, ServicePage, ServiceSpec, ServiceWrite
from workflows.contracts.errors import InvalidState, NotFound, Unavailable, ValidationFailed
from workflows.contracts.who import Who

_TRIES: Final = 5
_LOOK_BACK: Final = 50


class ServiceContext(TypedDict, total=False):
    """What the chains of services hand on.

    ``change_id`` tells a change that is tried again; ``version`` is absent for the present one.
    """

    write: ServiceWrite
    decision: DecidePolicyChange
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

    def __init__(self, services: ServiceStore, events: EventStore, *, clock: Callable[[], int]) -> None:
        self._services = services
        self._events = events
        self._clock = clock

    async def _made_before(self, name: str, change_id: str) -> Service | None:
        """What this very change has stored already."""
        page = await self._events.list(EventQuery(service_name=name, limit=_LOOK_BACK))
        made = next((event for event in page.items if event.event_id == change_id), None)
        return None if made is None else await self._services.get(name, made.details["service_version"])

    def _next(self, name: str, spec: ServiceSpec, by: str, present: Service | None) -> Service:
        now = self._clock()
        return Service(
            name=name,
            version=present.version + 1 if present is not None else 1,
            spec=spec,
            created_at=present.created_at if present is not None else now,
            updated_at=now,
            updated_by=by,
        )


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
            version = present.version if present is not None else 0
            if write.expected_version not in {None, version}:
                raise _another_version(write, version)
            if present is not None and (present.spec == write.spec or _waits(present, write)):
                return ctx.insert("service", present)
            service, events = self._changed(write, change_id, present)
            if await self._services.put(service, expected_version=write.expected_version, events=events):
                return ctx.insert("service", service)
        raise _too_fast(write.name)

    def _changed(
        self, write: ServiceWrite, change_id: str, present: Service | None
    ) -> tuple[Service, list[AuditEvent]]:
        service = self._next(write.name, write.spec, write.by, present)
        changes = policy_changes(present.spec, write.spec) if present is not None else []
        if present is not None and changes and present.spec.policy_change_needs_second_person:
            _require_person(write)
            waiting = PolicyChange(
                spec=write.spec,
                changes=changes,
                asked_by=write.by,
                identity=write.identity,
                asked_at=service.updated_at,
            )
            service = service.model_copy(update={"spec": present.spec, "policy_change": waiting})
            asked = PolicyChangeRequested(service_version=service.version, changes=changes)
            events = [_event(asked, write, change_id, service, "waits for a second person")]
        else:
            applied = ServiceApplied(service_version=service.version)
            events = [_event(applied, write, change_id, service, f"has definition {service.version}")]
            if changes:
                changed = PolicyChanged(service_version=service.version, changes=changes)
                events.append(_event(changed, write, f"{change_id}-policy", service, "has another policy"))
        lost = present.policy_change if present is not None else None
        if lost is not None:
            dropped = PolicyChangeDropped(service_version=service.version, changes=lost.changes, asked_by=lost.asked_by)
            words = f"took the place of a change that {lost.asked_by} had asked for"
            events.append(_event(dropped, write, f"{change_id}-dropped", service, words))
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
        if present is None or change is None or present.version != decision.version:
            made = await self._made_before(decision.name, change_id)
            if made is None:
                raise _nothing_waits(decision, present)
            return ctx.insert("service", made)
        if decision.approve and (why := no_second_person(change, decision)) is not None:
            raise InvalidState(f"This change of {decision.name}'s policy waits for a second person, and {why}.")
        spec = change.spec if decision.approve else present.spec
        service = self._next(decision.name, spec, decision.by, present)
        events = _decided(decision, change_id, service, change)
        if await self._services.put(service, expected_version=present.version, events=events):
            return ctx.insert("service", service)
        raise _too_fast(decision.name)  # what was decided on is gone: the next try says so


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


def _require_person(write: ServiceWrite) -> None:
    """Whoever holds a machine's key could else ask with it, and agree with their own. Raises InvalidState."""
    if write.identity is not None and write.identity.machine:
        raise InvalidState(
            f"{write.by} is a machine, and another policy of {write.name} needs two persons: one of them must ask."
        )


def _another_version(write: ServiceWrite, present: int) -> InvalidState:
    found = f"is version {present}" if present else "does not exist"
    expected = f"version {write.expected_version}" if write.expected_version else "none"
    return InvalidState(
        f"Service {write.name} {found}, but {expected} was expected. Look at it as it is now and apply again.",
        version=present,
    )


def _waits(present: Service, write: ServiceWrite) -> bool:
    """This very change is stored and waits."""
    change = present.policy_change
    return change is not None and (change.spec, change.asked_by) == (write.spec, write.by)


def _decided(decision: DecidePolicyChange, change_id: str, service: Service, change: PolicyChange) -> list[AuditEvent]:
    version, changes = service.version, change.changes
    if not decision.approve:
        rejected = PolicyChangeRejected(service_version=version, changes=changes, asked_by=change.asked_by)
        return [_event(rejected, decision, change_id, service, "keeps its policy", reason=decision.reason or None)]
    applied, changed = (
        ServiceApplied(service_version=version),
        PolicyChanged(service_version=version, changes=changes, asked_by=change.asked_by),
    )
    words = f"has another policy, asked for by {change.asked_by}"
    return [
        _event(applied, decision, change_id, service, f"has definition {version}"),
        _event(changed, decision, f"{change_id}-policy", service, words, reason=decision.reason or None),
    ]


def _nothing_waits(decision: DecidePolicyChange, present: Service | None) -> InvalidState:
    found = "does not exist" if present is None else f"is version {present.version}"
    waits = present is not None and present.policy_change is not None
    then = "another change waits there now: look at that" if waits else "nothing waits there"
    return InvalidState(
        f"No change of {decision.name}'s policy waits in version {decision.version}: the service {found}, and {then}.",
        version=present.version if present is not None else 0,
    )


def _too_fast(name: str) -> Unavailable:
    return Unavailable(
        f"Service {name} changes faster than this change can be stored. Apply it again.", service_name=name
    )


def _event(
    what: Details, who: Who, event_id: str, service: Service, words: str, *, reason: str | None = None
) -> AuditEvent:
    return new_event(
        what,
        who.who(),
        event_id=event_id,
        at=service.updated_at,
        service_name=service.name,
        reason=reason,
        message=f"{service.name} {words}",
    )
