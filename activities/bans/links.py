"""Links of bans: what a chain does with what is banned of a service, one step each; first what they hand on."""

from collections.abc import Callable, Sequence
from typing import Final, TypedDict

from codeuchain import Context

from activities.chaining.links import StoreLink, require
from activities.stores.interfaces.environments import EnvironmentStore
from activities.stores.interfaces.events import EventStore
from activities.stores.interfaces.services import BanStore
from workflows.bans import banned_words
from workflows.contracts.audit.details import Details, VersionBanned, VersionUnbanned
from workflows.contracts.audit.events import AuditEvent, EventQuery, new_event
from workflows.contracts.deployments.bans import (
    MAX_BANS,
    Affected,
    Ban,
    BanCommand,
    BanList,
    BanQuestion,
    BanResult,
    LeftVersion,
    LiftBan,
)
from workflows.contracts.deployments.environments import EnvironmentState
from workflows.contracts.errors import InvalidState, Unavailable
from workflows.contracts.who import Who

_TRIES: Final = 5
_LOOK_BACK: Final = 50


class BanContext(TypedDict, total=False):
    """What the chains of bans hand on. ``change_id`` tells a change that is tried again."""

    command: BanCommand
    lift: LiftBan
    left: LeftVersion
    change_id: str
    question: BanQuestion
    service_name: str
    version: str
    git_commit_sha: str
    bans: BanList
    result: BanResult


class _Changing:
    """A change of a service's bans: tried again under its ``change_id`` it is known by its audit event."""

    def __init__(self, bans: BanStore, events: EventStore, *, clock: Callable[[], int]) -> None:
        self._bans, self._events, self._clock = bans, events, clock

    async def _made_before(self, service_name: str, change_id: str) -> bool:
        page = await self._events.list(EventQuery(service_name=service_name, limit=_LOOK_BACK))
        return any(event.event_id == change_id for event in page.items)

    async def _put(self, present: BanList, items: Sequence[Ban], event: AuditEvent) -> bool:
        bans = BanList(service_name=present.service_name, items=list(items), revision=present.revision + 1)
        return await self._bans.put(bans, [event])

    async def _keep(self, service_name: str, ban: Ban, who: Who, *, makes_room: bool) -> BanResult:
        """With this ban in front; one that bans the same goes. Raises InvalidState for too many, Unavailable.

        ``makes_room``: what the oldest rollback left goes rather than that this one is not kept.
        """
        for _ in range(_TRIES):
            present = await self._bans.get(service_name)
            if any(each.change_id == ban.change_id for each in present.items) or await self._made_before(
                service_name, ban.change_id
            ):
                kept = [each for each in present.items if each.change_id == ban.change_id]
                return BanResult(service_name=service_name, items=present.items, changed=kept)
            same = (ban.version, ban.git_commit_sha)
            others = [each for each in present.items if (each.version, each.git_commit_sha) != same]
            if len(others) >= MAX_BANS:
                others = _with_room(service_name, others, makes_room=makes_room)
            said = {"banned_version": ban.version, "git_commit_sha": ban.git_commit_sha, "left": ban.deployment_id}
            details = VersionBanned(**{name: value for name, value in said.items() if value is not None})
            event = _event(details, who, ban.change_id, ban.at, service_name, f"{ban.what} is banned", ban.reason)
            if await self._put(present, [ban, *others], event):
                return BanResult(service_name=service_name, items=[ban, *others], changed=[ban])
        raise _too_fast(service_name)


class KeepBan(_Changing):
    """``command`` and ``change_id`` → ``result``. Raises InvalidState when there are too many, Unavailable."""

    async def call(self, ctx: Context[BanContext]) -> Context[BanContext]:
        """Optimistic: reads what is banned, and again when another change came between."""
        command, change_id = require(ctx, "command", BanCommand), require(ctx, "change_id", str)
        ban = Ban(
            version=command.version,
            git_commit_sha=command.git_commit_sha,
            by=command.by,
            reason=command.reason,
            at=self._clock(),
            change_id=change_id,
        )
        return ctx.insert("result", await self._keep(command.name, ban, command.who(), makes_room=False))


class KeepLeftVersion(_Changing):
    """``left`` → ``result``: what a rollback left is banned. Raises Unavailable."""

    async def call(self, ctx: Context[BanContext]) -> Context[BanContext]:
        """Once for each rollback."""
        left = require(ctx, "left", LeftVersion)
        ban = Ban(
            version=left.version,
            git_commit_sha=left.git_commit_sha,
            by=left.by,
            reason=left.reason,
            at=self._clock(),
            deployment_id=left.deployment_id,
            change_id=left.change_id,
        )
        who = Who.itself(left.by)
        return ctx.insert("result", await self._keep(left.service_name, ban, who, makes_room=True))


class DropBans(_Changing):
    """``lift`` and ``change_id`` → ``result``. Raises InvalidState when nothing of it is banned, Unavailable."""

    async def call(self, ctx: Context[BanContext]) -> Context[BanContext]:
        """Every ban that names the version, or the commit."""
        lift, change_id = require(ctx, "lift", LiftBan), require(ctx, "change_id", str)
        for _ in range(_TRIES):
            present = await self._bans.get(lift.name)
            lifted = [each for each in present.items if _names(lift, each)]
            rest = [each for each in present.items if each not in lifted]
            if not lifted:
                if await self._made_before(lift.name, change_id):
                    return ctx.insert("result", BanResult(service_name=lift.name, items=rest))
                raise _not_banned(lift, present)
            said = [each.model_dump(mode="json", exclude={"change_id"}, exclude_none=True) for each in lifted]
            words = f"{', '.join(each.what for each in lifted[:5])} is banned no more"
            event = _event(
                VersionUnbanned(bans=said), lift.who(), change_id, self._clock(), lift.name, words, lift.reason
            )
            if await self._put(present, rest, event):
                return ctx.insert("result", BanResult(service_name=lift.name, items=rest, changed=lifted))
        raise _too_fast(lift.name)


class FindAffected(StoreLink[EnvironmentStore]):
    """``result`` → ``result`` with who is open of what was banned, and what is to be known of that."""

    async def call(self, ctx: Context[BanContext]) -> Context[BanContext]:
        """By the environments' records."""
        result = require(ctx, "result", BanResult)
        states = await self._store.of_service(result.service_name) if result.changed else []
        affected = [each for state in states for each in _affected(state, result.changed)]
        return ctx.insert("result", result.model_copy(update={"affected": affected, "notes": _notes(affected)}))


class RetrieveBans(StoreLink[BanStore]):
    """``service_name`` → ``bans``. Raises Unavailable."""

    async def call(self, ctx: Context[BanContext]) -> Context[BanContext]:
        """A consistent read."""
        return ctx.insert("bans", await self._store.get(require(ctx, "service_name", str)))


class SelectBans(StoreLink[BanStore]):
    """``question`` → ``bans``, those that are about one of its versions. Raises Unavailable."""

    async def call(self, ctx: Context[BanContext]) -> Context[BanContext]:
        """A consistent read."""
        question = require(ctx, "question", BanQuestion)
        bans = await self._store.get(question.service_name)
        about = [
            ban
            for ban in bans.items
            if any(ban.covers(each.version, each.git_commit_sha) for each in question.versions)
        ]
        return ctx.insert("bans", bans.model_copy(update={"items": about}))


class RequireNoBan(StoreLink[BanStore]):
    """``service_name``, ``version`` and ``git_commit_sha`` → ``bans``. Raises InvalidState that says who banned it,
    Unavailable.
    """

    async def call(self, ctx: Context[BanContext]) -> Context[BanContext]:
        """A consistent read."""
        name = require(ctx, "service_name", str)
        bans = await self._store.get(name)
        ban = bans.of(require(ctx, "version", str), require(ctx, "git_commit_sha", str))
        if ban is not None:
            raise InvalidState(f"Nothing was started. {banned_words(name, ban)}", cause="banned")
        return ctx.insert("bans", bans)


def _with_room(service_name: str, bans: list[Ban], *, makes_room: bool) -> list[Ban]:
    """Without the oldest that a rollback set. Raises InvalidState where a person asks, or all are persons'."""
    oldest = next((each for each in reversed(bans) if each.deployment_id is not None), None)
    if not makes_room or oldest is None:
        raise InvalidState(
            f"{service_name} has {MAX_BANS} bans already: lift one first. `hybridci deploy bans {service_name}`"
        )
    return [each for each in bans if each is not oldest]


def _names(lift: LiftBan, ban: Ban) -> bool:
    by_version = lift.version is not None and lift.version == ban.version
    return by_version or (lift.git_commit_sha is not None and lift.git_commit_sha == ban.git_commit_sha)


def _affected(state: EnvironmentState, bans: Sequence[Ban]) -> list[Affected]:
    there = [each for each in (state.holder, state.live) if each is not None]
    held = {each.deployment_id: each for each in there}.values()
    return [
        Affected(
            deployment_id=each.deployment_id,
            workflow_id=each.workflow_id,
            version=each.version,
            environment=state.environment,
            live=live,
        )
        for found, live in ((held, True), (state.queue, False))
        for each in found
        if any(ban.covers(each.version, each.git_commit_sha) for ban in bans)
    ]


def _notes(affected: Sequence[Affected]) -> list[str]:
    said = [
        f"{each.version} is in {each.environment} or on its way in: a ban changes nothing there. To take it back: "
        f"`hybridci deploy rollback {each.deployment_id} --reason …`."
        for each in affected
        if each.live
    ]
    waiting = [f"{each.version} (in line for {each.environment})" for each in affected if not each.live]
    return [*said, f"What waits is ended: {', '.join(waiting)}."] if waiting else said


def _not_banned(lift: LiftBan, present: BanList) -> InvalidState:
    what = lift.version if lift.version is not None else f"commit {(lift.git_commit_sha or '')[:12]}"
    banned = ", ".join(each.what for each in present.items[:10]) or "nothing"
    return InvalidState(f"{what} of {lift.name} is not banned. Banned there: {banned}.")


def _too_fast(service_name: str) -> Unavailable:
    return Unavailable(
        f"The bans of {service_name} change faster than this change can be stored. Try again.",
        service_name=service_name,
    )


def _event(what: Details, who: Who, event_id: str, at: int, service_name: str, words: str, reason: str) -> AuditEvent:
    return new_event(
        what,
        who,
        event_id=event_id,
        at=at,
        service_name=service_name,
        reason=reason,
        message=f"{service_name}: {words}",
    )
