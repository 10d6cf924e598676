"""Doing what a delivery asks for: a planned action becomes a request or command, and its outcome a result.

A refusal is a result, not an error: the tool that sent the delivery must not repeat it, and people see the result in
the answer, the log and, where a deployment was asked, its audit trail. What is accepted without a record yet is done.
Only Unavailable is raised, for the tool to send the delivery again, which is safe: starts and commands have ids that
follow from their key, and commands leave their key in the trail, which remembers for longer.
Deliberately not here: the services behind it (``effects``).
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from api.accepted import shown
from api.webhooks.decisions import Planned
from api.webhooks.manifest import ActionName
from api.webhooks.outcomes import Acting, ActionResult, ActionStatus, Effects
from api.webhooks.triggering.facts import TriggerType
from workflows.contracts.accepted import Accepted
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.deployments.commands import (
    Approve,
    AskPerson,
    RecordStage,
    Reject,
    ReportMetrics,
    RollbackCommand,
)
from workflows.contracts.deployments.deployment import Deployment, DeploymentRequest
from workflows.contracts.deployments.environments import HoldCommand
from workflows.contracts.deployments.metrics import AHEAD_MS
from workflows.contracts.errors import (
    FieldError,
    HybridCIError,
    InvalidState,
    NotFound,
    Unavailable,
    ValidationFailed,
    field_errors,
)
from workflows.contracts.fields import without_misleading
from workflows.contracts.jobs import JobSpec

M = TypeVar("M", bound=BaseModel)

_PARALLEL: Final = 10
_MARK_LENGTH: Final = 20
_LONGEST: Final = {
    "reason": 1024 - _MARK_LENGTH - 12,
    "comment": 4096 - _MARK_LENGTH - 12,
    "message": 4096 - _MARK_LENGTH - 12,
    "git_commit_message": 8192,
    "git_author": 256,
    "git_committer": 256,
    "by": 256,
    "job_id": 256,
}
"""Text that a payload may hold at any length, and how much of it we keep."""
_OF_TARGET: Final = frozenset({"deployment_id", "since", "incident"})
_LINES: Final = frozenset({"git_author", "git_committer", "by", "job_id"})


async def perform_all(effects: Effects, actions: Sequence[Planned], how_again: str = "") -> list[ActionResult]:
    """Do them, several at a time. ``how_again``: the command by which a person has something started once more.

    Raises Unavailable once all others are done.
    """
    slots = asyncio.Semaphore(_PARALLEL)

    async def one(planned: Planned) -> ActionResult:
        async with slots:
            return await perform(effects, planned, how_again)

    results = await asyncio.gather(*(one(planned) for planned in actions), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if isinstance(result, ActionResult)]


async def perform(effects: Effects, planned: Planned, how_again: str = "") -> ActionResult:
    """Do it. Raises Unavailable."""
    if planned.problem is not None:
        return _refused(planned, planned.problem)
    try:
        result = await _PERFORMERS[planned.action](effects, planned)
        return await retold(effects, result, how_again) if result.replayed else result
    except Accepted as accepted:
        return _accepted(planned, accepted)
    except Unavailable:
        raise
    except ValidationError as error:
        return _refused(planned, _named(field_errors(error, nameless="body")))
    except ValidationFailed as error:
        return _refused(planned, _named(error.errors) if error.errors else error.message)
    except HybridCIError as error:
        return _refused(planned, error.message)


async def retold(effects: Effects, result: ActionResult, how_again: str) -> ActionResult:
    """What was done before, told once more: which deployment it started, how that stands now. Raises Unavailable."""
    if result.action is not ActionName.START_DEPLOYMENT or result.deployment_id is None:
        return result.model_copy(update={"replayed": True})
    try:
        deployment = await effects.deployment(result.deployment_id)
    except NotFound:
        gone = f"Deployment {result.deployment_id} was started by this event before; its record is gone."
        return result.model_copy(update={"replayed": True, "message": gone})
    cause = "" if deployment.cause in (None, deployment.status) else f" ({deployment.cause})"
    waits = "" if deployment.waits_for is None else f" and waits for {deployment.waits_for}"
    said = (
        f"Deployment {deployment.deployment_id} of {deployment.service_name} {deployment.version} was started by this"
        f" event before; it is {deployment.status}{cause}{waits}."
    )
    if deployment.status.final and how_again:
        said += f" To start it once more: `{how_again}`."
    return result.model_copy(update={"replayed": True, "message": said})


async def _start_job(effects: Effects, planned: Planned) -> ActionResult:
    spec = JobSpec.model_validate(_fitted(planned))
    job, replayed = await effects.start_job(spec, planned.key)
    return ActionResult(
        action=planned.action,
        status=ActionStatus.DONE,
        job_id=job.job_id,
        url=f"/api/dashboard/jobs/{job.job_id}",
        message=f"Job {spec.job_type} of {spec.git_commit_sha[:12]} is started.",
        replayed=replayed,
    )


async def _start_deployment(effects: Effects, planned: Planned) -> ActionResult:
    values = _fitted(planned)
    if (known := await _caught_up(effects, planned)) is not None:
        return _done(planned, known, "").model_copy(update={"replayed": True})
    committer = values.pop("git_committer", None)
    request = DeploymentRequest.model_validate({**values, "service_name": planned.service})
    deployment, replayed = await effects.start_deployment(request, planned.key, committer)
    remark = "" if planned.judged is None else planned.judged.remark
    message = f"Deployment of {deployment.service_name} {deployment.version} is started.{remark}"
    return _done(planned, deployment, message).model_copy(update={"replayed": replayed})


async def _caught_up(effects: Effects, planned: Planned) -> Deployment | None:
    """What was started for this head because its push was not told in time."""
    judged = planned.judged
    if judged is None or judged.facts.type is not TriggerType.PUSH or planned.service is None:
        return None
    triggers, facts = judged.service.triggers, judged.facts
    if triggers is None or triggers.poll_seconds is None or facts.branch is None or facts.commit is None:
        return None
    return await effects.caught_up(planned.service, facts.branch, facts.commit)


async def _approve(effects: Effects, planned: Planned) -> ActionResult:
    async def act(deployment_id: str) -> Deployment:
        values = {**_common(effects, planned), "comment": _marked(planned, "comment")}
        return await effects.command(deployment_id, _model(Approve, values), planned.key)

    return await _command(effects, planned, act, "is approved by {by}.", waiting=True)


async def _reject(effects: Effects, planned: Planned) -> ActionResult:
    async def act(deployment_id: str) -> Deployment:
        values = {**_common(effects, planned), "reason": _marked(planned, "reason")}
        return await effects.command(deployment_id, _model(Reject, values), planned.key)

    return await _command(effects, planned, act, "is rejected by {by}.", waiting=True)


async def _rollback(effects: Effects, planned: Planned) -> ActionResult:
    async def act(deployment_id: str) -> Deployment:
        values = {**_common(effects, planned), "reason": _marked(planned, "reason")}
        return await effects.command(deployment_id, _model(RollbackCommand, values), planned.key)

    words = "is being rolled back."
    if not planned.of_alert or _named_deployment(planned) is not None:
        return await _command(effects, planned, act, words, waiting=False)
    known = await effects.done_before(mark_of(planned.key), service=planned.service, deployment_id=None)
    if known is not None:
        done = _done(planned, known, f"{known.service_name} {known.version} {words}")
        return done.model_copy(update={"replayed": True})
    acting = await effects.acting(*_place(planned))
    _require_fault(planned, acting, effects.now())
    await _require_first(effects, planned, acting)
    return await _by_alert(effects, planned, acting, act)


async def _require_first(effects: Effects, planned: Planned, acting: Acting) -> None:
    """One incident acts once, and upon nothing that a person has to decide about. Raises InvalidState."""
    if acting.asks is not None:
        raise await _left_to_a_person(effects, planned, acting, acting.asks)
    before = await effects.claim(*_place(planned), incident_of(planned), acting)
    if before is not None:
        why = f"this alert has rolled {before.version} back already, and one alert acts once."
        raise await _left_to_a_person(effects, planned, acting, why)


async def _by_alert(
    effects: Effects, planned: Planned, acting: Acting, act: Callable[[str], Awaitable[Deployment]]
) -> ActionResult:
    try:
        deployment = await act(acting.deployment_id)
    except InvalidState:  # nothing was rolled back by it
        await effects.unclaim(*_place(planned), incident_of(planned), acting)
        raise
    return _done(planned, deployment, f"{deployment.service_name} {deployment.version} is being rolled back.")


async def _left_to_a_person(effects: Effects, planned: Planned, acting: Acting, why: str) -> InvalidState:
    """The record of the version says it too, with the command that rolls back."""
    said = str(_fitted(planned).get("reason") or planned.reason)[: _LONGEST["reason"]]
    asked = AskPerson(
        what=f"An alert asks for it: {said}",
        why=why[: _LONGEST["reason"]],
        key=mark_of(f"{incident_of(planned)}\n{acting.deployment_id}"),
        by=effects.by,
        via=effects.by,
        address=effects.address,
    )
    await effects.ask_person(acting.deployment_id, asked)
    return InvalidState(
        f"{planned.service} {acting.version} is not rolled back by itself: {why} A person decides: `hybridci deploy "
        f"rollback {acting.deployment_id} --reason …`."
    )


def incident_of(planned: Planned) -> str:
    """What the provider calls the incident; else what its delivery means."""
    incident = planned.values.get("incident")
    return planned.key if incident is None else str(incident)


async def _record_stage(effects: Effects, planned: Planned) -> ActionResult:
    async def act(deployment_id: str) -> Deployment:
        values = {**_common(effects, planned), "message": _marked(planned, "message")}
        return await effects.command(deployment_id, _model(RecordStage, values), planned.key)

    return await _command(effects, planned, act, f"in {planned.values.get('environment')} is recorded.", waiting=False)


async def _record_metrics(effects: Effects, planned: Planned) -> ActionResult:
    sample = _model(ReportMetrics, _common(effects, planned))
    deployment_id, version = _named_deployment(planned), None
    if deployment_id is None:
        acting = await effects.acting(*_place(planned))
        deployment_id, version = acting.deployment_id, acting.version
    await effects.report_metrics(deployment_id, sample)
    of = f"{planned.service} {version}" if version else f"deployment {deployment_id}"
    return ActionResult(
        action=planned.action,
        status=ActionStatus.DONE,
        service_name=planned.service,
        version=version,
        deployment_id=deployment_id,
        url=f"/api/dashboard/deployments/{deployment_id}",
        message=f"Metrics of {of} are recorded.",
    )


async def _pause(effects: Effects, planned: Planned) -> ActionResult:
    service, environment = _place(planned)
    mark = mark_of(planned.key)
    known = await effects.done_before(mark, service=service, deployment_id=None)
    if known is None:
        values = {**_common(effects, planned), "reason": _marked(planned, "reason")}
        await effects.hold(service, environment, _model(HoldCommand, values), planned.key)
    return ActionResult(
        action=planned.action,
        status=ActionStatus.DONE,
        service_name=service,
        environment=environment,
        url=f"/api/dashboard/services/{service}/environments/{environment}",
        message=f"{service} {environment} is held: nothing is rolled out there until somebody releases it.",
        replayed=known is not None,
    )


_PERFORMERS: Final[Mapping[ActionName, Callable[[Effects, Planned], Awaitable[ActionResult]]]] = {
    ActionName.START_JOB: _start_job,
    ActionName.START_DEPLOYMENT: _start_deployment,
    ActionName.APPROVE: _approve,
    ActionName.REJECT: _reject,
    ActionName.ROLLBACK: _rollback,
    ActionName.RECORD_STAGE: _record_stage,
    ActionName.RECORD_METRICS: _record_metrics,
    ActionName.PAUSE: _pause,
}


def mark_of(key: str) -> str:
    """What a command leaves in the audit trail, so that the same delivery is known again after a restart."""
    return f"webhook {hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[: _MARK_LENGTH - 8]}"


async def _command(
    effects: Effects,
    planned: Planned,
    act: Callable[[str], Awaitable[Deployment]],
    words: str,
    *,
    waiting: bool,
) -> ActionResult:
    """Find the deployment and command it, unless the trail says that this delivery has done so."""
    named = _named_deployment(planned)
    # Not str.format: ``words`` may hold an outside text, whose "{by:>400000000}" would ask for that much memory.
    words = words.replace("{by}", str(planned.values.get("by") or effects.by))
    known = await effects.done_before(mark_of(planned.key), service=planned.service, deployment_id=named)
    if known is not None:
        done = _done(planned, known, f"{known.service_name} {known.version} {words}")
        return done.model_copy(update={"replayed": True})
    if named is None and waiting:
        version = planned.values.get("version")
        named = await effects.waiting(str(planned.service), None if version is None else str(version))
    elif named is None:
        named = (await effects.acting(*_place(planned))).deployment_id
    deployment = await act(named)
    return _done(planned, deployment, f"{deployment.service_name} {deployment.version} {words}")


def _named_deployment(planned: Planned) -> str | None:
    """Raises InvalidState when the payload names neither a deployment nor a service."""
    named = planned.values.get("deployment_id")
    if named is None and planned.service is None:
        raise InvalidState("The payload names neither a deployment nor a service.")
    return None if named is None else str(named)


def _require_fault(planned: Planned, acting: Acting, now: int) -> None:
    """What was wrong before a version came is not the version's fault; and nobody knows whose it is when the alert does
    not say since when it holds.
    """
    since = planned.values.get("since")
    if "since" not in planned.values and "since" not in planned.lacking:
        return  # the rule does not ask
    if not isinstance(since, int | float) or isinstance(since, bool) or since <= 0 or since > now + AHEAD_MS:
        said = "lies in the future" if isinstance(since, int | float) and since > now else "is missing or unreadable"
        raise InvalidState(
            f"Nothing is rolled back: since when this alert holds {said} in the delivery, so nobody can tell whether "
            f"{planned.service} {acting.version} is to blame. To roll back: `hybridci deploy rollback "
            f"{acting.deployment_id} --reason …`."
        )
    if since < acting.since:
        raise InvalidState(
            f"It began before {planned.service} {acting.version} came, so that version is not rolled back for it."
        )


def _place(planned: Planned) -> tuple[str, str]:
    environment = planned.values.get("environment") or planned.environment
    return str(planned.service), str(environment)


def _common(effects: Effects, planned: Planned) -> dict[str, Any]:
    """What every command carries, and the values that are its fields."""
    given = {name: value for name, value in _fitted(planned).items() if name not in _OF_TARGET}
    return {"by": effects.by, **given, "via": effects.by, "address": effects.address}


def _model(model: type[M], values: Mapping[str, Any]) -> M:
    """Values that only choose the target (``environment`` of a rollback) are no fields of the command."""
    return model.model_validate({name: value for name, value in values.items() if name in model.model_fields})


def _marked(planned: Planned, name: str) -> str:
    text = _fitted(planned).get(name) or planned.reason[: _LONGEST["reason"]]
    return f"{text} [{mark_of(planned.key)}]"


def _fitted(planned: Planned) -> dict[str, Any]:
    return {name: _cut(name, value) if isinstance(value, str) else value for name, value in planned.values.items()}


def _cut(name: str, text: str) -> str:
    if name not in _LONGEST:
        return text
    line = name in _LINES
    clear = without_misleading(text, lines=not line)
    return (clear.strip() if line else clear)[: _LONGEST[name]]


def _done(planned: Planned, record: Deployment | AuditEvent, message: str) -> ActionResult:
    return ActionResult(
        action=planned.action,
        status=ActionStatus.DONE,
        service_name=record.service_name,
        version=record.version,
        deployment_id=record.deployment_id,
        url=f"/api/dashboard/deployments/{record.deployment_id}",
        message=message,
    )


def _accepted(planned: Planned, accepted: Accepted) -> ActionResult:
    """Done, for the tool that sent it: it must not send it again, and the record follows."""
    taken = accepted.taken
    return ActionResult(
        action=planned.action,
        status=ActionStatus.DONE,
        service_name=taken.service_name or planned.service,
        environment=taken.environment,
        version=None if taken.deployment is None else taken.deployment.version,
        deployment_id=taken.deployment_id,
        job_id=taken.job_id,
        url=shown(accepted).url,
        message=accepted.message,
        replayed=taken.replayed,
    )


def _refused(planned: Planned, message: str) -> ActionResult:
    return ActionResult(
        action=planned.action,
        status=ActionStatus.REFUSED,
        service_name=planned.service,
        environment=planned.environment if planned.action is ActionName.PAUSE else None,
        message=message,
    )


def _named(errors: Sequence[FieldError]) -> str:
    return "; ".join(f"{error.field}: {error.message}" for error in errors[:10]) or "the values do not fit"
