"""Deployments and environments as routes and webhooks ask for them: start, command, report.

Who asks, whence and how the answer looks is the callers' business; every change goes through a workflow.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from api.auth.guard import require
from api.auth.idempotency import fingerprint, require_same
from api.auth.origin import Origin
from api.auth.vouching import Giver
from api.deployments.bans import lift_ban_of
from api.deployments.ports import DeploymentPorts
from api.deployments.schemas import RollbackRequest, StartRequest
from api.identity.people import Bearer
from api.identity.pools import pools_refused_to_service
from api.temporal.recorded import earlier_deployment, seen_deployment
from workflows.client.answers import ANSWERED_WITHIN_SECONDS
from workflows.client.deployments import DeploymentCommand, EnvironmentCommand
from workflows.contracts.accepted import Accepted, Taken
from workflows.contracts.access import Operation
from workflows.contracts.deployments.commands import (
    Abort,
    Approve,
    AskPerson,
    DeploymentInput,
    Promote,
    Reject,
    ReportMetrics,
    Resume,
    RollbackCommand,
    SkipStep,
)
from workflows.contracts.deployments.deployment import Deployment, DeploymentRequest, DeploymentStatus
from workflows.contracts.deployments.environments import EnvironmentState, LiveVersion
from workflows.contracts.deployments.metrics import PULLED
from workflows.contracts.deployments.policy import definition_errors
from workflows.contracts.deployments.services import Service
from workflows.contracts.errors import FieldError, InvalidState, NotFound, Unavailable, ValidationFailed
from workflows.contracts.identity.people import Parties
from workflows.contracts.ids import job_id_for_key, new_job_id
from workflows.deployment.record import as_accepted

_POSSIBLE: Final[dict[type[object], str]] = {
    Approve: "An approval is possible while a deployment waits for it.",
    Reject: "A rejection is possible until a version is live.",
    RollbackCommand: "A rollback is possible from the last environment on, as long as the version is live.",
    Resume: "Resuming is possible while a deployment is paused.",
    Promote: "A promotion is possible while a version is being rolled out.",
    SkipStep: "A step can be left out while a version is being rolled out.",
    Abort: "A rollout can be aborted until its version is live.",
}


@dataclass(frozen=True, slots=True)
class Started:
    """What became of a start.

    ``created``: there is a new deployment. ``replayed``: an earlier request with the same key created it.
    """

    deployment: Deployment
    created: bool = False
    replayed: bool = False


async def start_deployment(
    ports: DeploymentPorts,
    origin: Origin,
    request: DeploymentRequest,
    *,
    key: str | None,
    committer: str | None = None,
    forge: str | None = None,
    person: Bearer | None = None,
) -> Started:
    """Start a deployment of the service as it is defined now, or find the one that this key stands for. ``committer``:
    who committed it, where that is known besides the author; ``forge``: where both have their logins. ``person``: who
    had a tool do it, and so counts as its starter where somebody has to approve.

    Raises ApiError forbidden for a service out of reach, NotFound for an unknown one, Conflict, ValidationFailed,
    Unavailable, and Accepted when it is started but cannot be recorded now.
    """
    require(origin.caller, Operation.DEPLOYMENTS_START, service=request.service_name)
    if isinstance(request, StartRequest) and (request.allow_older or request.lift_ban):
        require(origin.caller, Operation.DEPLOYMENTS_OPERATE, service=request.service_name)
    if key is None:
        return await _begin(ports, await _input(ports, new_job_id(), origin, request, (committer, forge), person))
    deployment_id, digest = job_id_for_key(origin.caller.scope, key), fingerprint("deployment", request)
    # A workflow's id names service and version too: Temporal alone would let two different requests with one key start.
    async with ports.starting.setdefault(deployment_id, asyncio.Lock()):
        known = await earlier_deployment(ports, deployment_id)
        if known is not None:
            require_same(known.record.fingerprint, digest, what=f"deployment {deployment_id}")
            if not known.recorded:
                raise Accepted(_taken(known.record, replayed=True))
            return Started(known.record, replayed=True)
        start = await _input(ports, deployment_id, origin, request, (committer, forge), person)
        return await _begin(ports, start.model_copy(update={"fingerprint": digest}))


async def _begin(ports: DeploymentPorts, start: DeploymentInput) -> Started:
    """Of several requests with one key at the same moment, Temporal lets one start it: that one has created it."""
    created, now, what = await ports.deployment_client.begin(start), ports.clock(), f"deployment {start.deployment_id}"
    try:
        async with asyncio.timeout(ANSWERED_WITHIN_SECONDS):
            deployment = await ports.deployment_client.created(start)
    except (Unavailable, TimeoutError) as error:
        known = as_accepted(start, now) if created else await ports.deployment_client.known(start.deployment_id)
        require_same(known.fingerprint, start.fingerprint, what=what)
        raise Accepted(_taken(known, replayed=not created)) from error
    require_same(deployment.fingerprint, start.fingerprint, what=what)
    return Started(deployment, created=created, replayed=not created)


def _taken(deployment: Deployment, *, replayed: bool) -> Taken:
    return Taken(
        asked="start",
        deployment_id=deployment.deployment_id,
        service_name=deployment.service_name,
        deployment=deployment,
        replayed=replayed,
    )


async def command_deployment(
    ports: DeploymentPorts,
    deployment_id: str,
    command: DeploymentCommand,
    update_id: str | None = None,
    *,
    giver: Giver | None = None,
) -> Deployment:
    """The deployment's record after the command. The same ``update_id`` again gives the first answer. ``giver``: who
    gives an approval.

    Raises NotFound when there is no such deployment, InvalidState when it has ended or refuses, ValidationFailed,
    Unavailable, and Accepted when it is taken but not answered.
    """
    deployment = (await seen_deployment(ports, deployment_id)).record
    if deployment.closed and update_id is None:
        raise _ended(deployment, command)
    if isinstance(command, RollbackCommand):
        await require_target(ports, deployment, command)
    if isinstance(command, Approve) and giver is not None:
        command = ports.voucher.vouch(command, giver, deployment)
    try:
        return await ports.deployment_client.command(deployment, command, update_id)
    except NotFound:
        raise _ended(await ports.deployments.get(deployment_id), command) from None


async def require_target(ports: DeploymentPorts, deployment: Deployment, command: RollbackCommand) -> None:
    """A version whose record went cannot be brought back by its own definition. Raises InvalidState, Unavailable."""
    last = deployment.definition.environments[-1] if deployment.definition.environments else None
    named = command.to_version is not None or command.to_commit is not None
    if not named or command.job_id is not None or last is None or last.rollback is not None:
        return
    states = await ports.deployments.environments(deployment.service_name)
    history = [live for state in states if state.environment == last.name for live in state.history]
    named_ones = (live for live in history if _is_named(command, live))
    target = next((live for live in named_ones if live.deployment_id != deployment.deployment_id), None)
    if target is None:
        return  # the workflow says what was live
    try:
        await ports.deployments.get(target.deployment_id)
    except NotFound:
        raise InvalidState(
            f"{target.version} was live in {last.name}, but its record was removed by policy: nobody knows now how "
            f"it is rolled out. Deploy it again: `hybridci deploy start {deployment.service_name} --version "
            f"{target.version} --sha {target.git_commit_sha}`."
        ) from None


async def lift_ban_of_target(
    ports: DeploymentPorts, origin: Origin, service_name: str, request: RollbackRequest
) -> None:
    """Lift the ban of the version that a person names: when they ask for it, or when only rollbacks have banned it,
    since whoever names it says otherwise. Raises as ``lift_ban_of``.
    """
    if request.to_version is None and request.to_commit is None:
        return
    states = await ports.deployments.environments(service_name)
    wanted = (
        live
        for state in states
        for live in state.history
        if request.to_version in {None, live.version} and request.to_commit in {None, live.git_commit_sha}
    )
    if (found := next(wanted, None)) is None:  # the workflow says what was live
        return
    listed = await ports.deployments.bans(service_name)
    bans = [ban for ban in listed.items if ban.covers(found.version, found.git_commit_sha)]
    if bans and (request.lift_ban or all(ban.deployment_id is not None for ban in bans)):
        await lift_ban_of(ports, origin, service_name, found.version, found.git_commit_sha, request.reason)


def _is_named(command: RollbackCommand, live: LiveVersion) -> bool:
    return command.to_version in {None, live.version} and command.to_commit in {None, live.git_commit_sha}


async def report_metrics(ports: DeploymentPorts, deployment_id: str, sample: ReportMetrics) -> None:
    """Keep a sample and judge its rows; the deployment's workflow is told of what is otherwise than it knows.

    A process that dies in between has kept it: the next sample tells, and so does the end of a bake. Raises like
    ``command_deployment``.
    """
    if sample.row_source.startswith(PULLED):
        what = f"must not begin with {PULLED!r}, as what agents read does: leave it out, or choose another word"
        raise ValidationFailed(f"The sample was not taken: source {what}.", [FieldError(field="source", message=what)])
    deployment = (await seen_deployment(ports, deployment_id)).record
    if deployment.closed:
        raise _ended(deployment, sample)
    verdict = await ports.measured.report(deployment, sample)
    if not verdict.rows:
        return
    try:
        await ports.deployment_client.tell_metrics(deployment, verdict)
    except NotFound:
        raise _ended(await ports.deployments.get(deployment_id), sample) from None
    ports.measured.told(deployment_id, verdict)


async def ask_person(ports: DeploymentPorts, deployment_id: str, asked: AskPerson) -> None:
    """Have a person asked whether a live version is rolled back. Raises NotFound, Unavailable."""
    await ports.deployment_client.ask_person(await ports.deployments.get(deployment_id), asked)


async def command_environment(
    ports: DeploymentPorts,
    service_name: str,
    environment: str,
    command: EnvironmentCommand,
    update_id: str | None = None,
) -> EnvironmentState:
    """The environment as the command left it. The same ``update_id`` again gives the first answer.

    Raises NotFound when the service or its environment does not exist (the environment's workflow would be started for
    any name), InvalidState when it refuses, ValidationFailed, Unavailable, and Accepted when it is taken but not
    answered.
    """
    await require_environment(ports, service_name, environment)
    return await ports.deployment_client.command_environment(service_name, environment, command, update_id)


async def require_environment(ports: DeploymentPorts, service_name: str, environment: str) -> Service:
    """The service, when it has this environment. One whose definition is in its repository and which has no policy yet
    may have any.
    """
    service = await ports.deployments.service(service_name)
    names = service.spec.environment_names
    if environment in names or not names:
        return service
    if any(state.environment == environment for state in await ports.deployments.environments(service_name)):
        return service  # an earlier definition had it, and it may still be held or frozen
    raise NotFound(f"Service {service_name} has no environment {environment[:64]!r}; it has {', '.join(names)}.")


async def _input(
    ports: DeploymentPorts,
    deployment_id: str,
    origin: Origin,
    request: DeploymentRequest,
    commit: tuple[str | None, str | None],
    person: Bearer | None,
) -> DeploymentInput:
    service = await ports.deployments.service(request.service_name)
    if (archived := service.archived) is not None:
        raise InvalidState(
            f"Nothing of {service.name} is started: {archived.by} has archived it"
            f"{f' ({archived.reason})' if archived.reason else ''}. Take it into use again: "
            f"`hybridci service unarchive {service.name}`."
        )
    _require_definition(service)
    if found := list(pools_refused_to_service(ports.pool_rules, service.name, service.spec)):
        said = "; ".join(f"{error.field} of {service.name}: {error.message}" for error in found)
        raise ValidationFailed(f"It was not started: {said}.", [FieldError(field="pool", message=said)])
    if isinstance(request, StartRequest) and request.lift_ban is not None:
        what = (request.version, request.git_commit_sha, request.lift_ban.reason)
        await lift_ban_of(ports, origin, service.name, *what)
    await ports.deployments.require_no_ban(service.name, request.version, request.git_commit_sha)
    people, signed, (committer, forge) = ports.voucher.people, origin.who(), commit
    return DeploymentInput(
        deployment_id=deployment_id,
        request=request.asked() if isinstance(request, StartRequest) else request,
        allow_older=request.allow_older.reason if isinstance(request, StartRequest) and request.allow_older else None,
        service=service,
        created_by=origin.caller.id,
        via=origin.via,
        address=origin.address,
        role=origin.caller.role,
        key_id=signed.key_id,
        parties=Parties(
            author=people.of_name(request.git_author, forge=forge),
            starter=people.of(person or origin.caller.bearer),
            committer=None if committer is None else people.of_name(committer, forge=forge),
        ),
    )


def _require_definition(service: Service) -> None:
    """Of a service that was stored before there were policies, the commit that wants in would be its own judge."""
    name = service.name
    for error in definition_errors(service.spec):
        raise InvalidState(
            f"Nothing is deployed of {name} as it is registered: {error.field}: {error.message}. Write it with "
            f"`hybridci service show {name} > {name}.yml`, correct that, then `hybridci service apply -f {name}.yml`."
        )


def _ended(deployment: Deployment, command: object) -> InvalidState:
    """Why a deployment without a workflow takes no command, and what to do instead."""
    name = f"Deployment {deployment.deployment_id} ({deployment.service_name} {deployment.version})"
    if deployment.status is DeploymentStatus.LIVE:
        return InvalidState(
            f"{name} is live, but it lost its workflow to somebody's hand; within a minute it is started again. "
            f"{_rollback_of(deployment)}"
        )
    if not deployment.closed:
        return InvalidState(
            f"{name} is {deployment.status}, but lost its workflow to somebody's hand; its environments are freed"
            f" within a minute. {_start_of(deployment)}"
        )
    said = [f"{name} has ended: it is {deployment.status}{_cause(deployment)} and takes no commands any more."]
    if type(command) in _POSSIBLE:
        said.append(_POSSIBLE[type(command)])
    if deployment.status is DeploymentStatus.SUPERSEDED and deployment.superseded_by is not None:
        said.append(f"Deployment {deployment.superseded_by} took its place. {_rollback_of(deployment)}")
    elif isinstance(command, RollbackCommand):
        said.append(_rollback_of(deployment))
    else:
        said.append(_start_of(deployment))
    return InvalidState(" ".join(said))


def _start_of(deployment: Deployment) -> str:
    start = f"`hybridci deploy start {deployment.service_name} --version {deployment.version}`"
    return f"To deploy the version again: {start}, POST /api/dashboard/deployments."


def _rollback_of(deployment: Deployment) -> str:
    names = [each.name for each in deployment.definition.environments]
    where = f"{deployment.service_name}/environments/{names[-1] if names else 'production'}"
    return (
        f"To go back from what is live now: `hybridci deploy rollback {deployment.service_name} --reason …`, POST "
        f"/api/dashboard/services/{where}/rollback."
    )


def _cause(deployment: Deployment) -> str:
    return "" if deployment.cause in (None, deployment.status) else f" ({deployment.cause})"
