"""The effects of webhooks on the real services, and what of the records they need to find their target."""

from contextlib import suppress
from typing import Final

from pydantic import BaseModel

from api.auth.origin import Origin
from api.auth.principal import Principal
from api.auth.vouching import Giver
from api.deployments.service import (
    ask_person,
    command_deployment,
    command_environment,
    report_metrics,
    start_deployment,
)
from api.identity.people import Bearer
from api.jobs.service import submit_one
from api.temporal.recorded import earlier_deployment, seen_deployment, seen_job
from api.webhooks.outcomes import Acting
from api.webhooks.ports import WebhookPorts
from api.webhooks.repositories import KnownService, known_service
from workflows.contracts.access import Role
from workflows.contracts.audit.events import AuditEvent, EventQuery
from workflows.contracts.deployments.commands import (
    Approve,
    AskPerson,
    RecordStage,
    Reject,
    ReportMetrics,
    RollbackCommand,
)
from workflows.contracts.deployments.deliveries import CATCH_UP
from workflows.contracts.deployments.deployment import Deployment, DeploymentQuery, DeploymentRequest, DeploymentStatus
from workflows.contracts.deployments.environments import EnvironmentState, HoldCommand
from workflows.contracts.deployments.metrics import Incident
from workflows.contracts.errors import Conflict, InvalidState, NotFound
from workflows.contracts.ids import is_uuid, job_id_for_key
from workflows.contracts.jobs import Job, JobSpec

_PAGE: Final = 100
_MAX_SERVICES: Final = 10_000


class ApiEffects:
    """``outcomes.Effects`` for one delivery of one provider. ``person``: who has it replayed."""

    def __init__(
        self, ports: WebhookPorts, provider: str, address: str | None, *, person: Bearer | None = None
    ) -> None:
        self._ports, self._person = ports, person
        self.by = f"webhook:{provider}"
        self.address = address
        self._provider = provider
        self._origin = Origin(Principal.everywhere(self.by, Role.ADMIN, machine=True), self.by, address)

    def now(self) -> int:
        """Epoch milliseconds."""
        return self._ports.clock()

    async def start_job(self, spec: JobSpec, key: str) -> tuple[Job, bool]:
        """A provider submits as itself; no key of the API is involved."""
        try:
            submitted = await submit_one(self._ports, self._origin, spec, key)
        except Conflict:  # another delivery of the same key said it in other words
            return (await seen_job(self._ports, job_id_for_key(self.by, key))).record, True
        return submitted.job, submitted.replayed

    async def start_deployment(
        self, request: DeploymentRequest, key: str, committer: str | None = None
    ) -> tuple[Deployment, bool]:
        """Start it once for this key; True when it was there."""
        try:
            started = await start_deployment(
                self._ports,
                self._origin,
                request,
                key=key,
                committer=committer,
                forge=self._provider,
                person=self._person,
            )
        except Conflict:  # another delivery of the same key said it in other words
            return (await seen_deployment(self._ports, job_id_for_key(self.by, key))).record, True
        return started.deployment, started.replayed

    async def deployment(self, deployment_id: str) -> Deployment:
        """As it stands now."""
        return (await seen_deployment(self._ports, _known(deployment_id))).record

    async def caught_up(self, service: str, branch: str, commit: str) -> Deployment | None:
        """Only the service's newest deployment: what is pushed again later is an event of its own."""
        deployment_id = job_id_for_key(f"webhook:{CATCH_UP}", caught_up_key(service, branch, commit))
        page = await self._ports.deployments.list(DeploymentQuery(service_name=service, limit=1))
        if not page.items or page.items[0].deployment_id != deployment_id:
            return None
        return (await seen_deployment(self._ports, deployment_id)).record

    async def started_with(self, key: str) -> Deployment | None:
        """What was started with this key, if anything."""
        known = await earlier_deployment(self._ports, job_id_for_key(self.by, key))
        return None if known is None else known.record

    async def command(
        self, deployment_id: str, command: Approve | Reject | RollbackCommand | RecordStage, key: str
    ) -> Deployment:
        """Send it to the deployment, once for this key."""
        update_id, giver = self._update_id(command, key), self._giver(command.by)
        return await command_deployment(self._ports, _known(deployment_id), command, update_id, giver=giver)

    async def report_metrics(self, deployment_id: str, sample: ReportMetrics) -> None:
        """Hand over a sample."""
        await report_metrics(self._ports, _known(deployment_id), sample)

    async def hold(self, service: str, environment: str, command: HoldCommand, key: str) -> EnvironmentState:
        """Hold the environment, once for this key."""
        return await command_environment(self._ports, service, environment, command, self._update_id(command, key))

    def _giver(self, by: str) -> Giver:
        """Whom the provider knows by a login of its own that the identity map has; else the provider, a machine: what a
        delivery names besides is the word of whoever has its secret.
        """
        own = by.startswith(f"{self._provider}:")
        person = self._ports.voucher.people.of_login(by) if own else None
        return Giver(person or self._ports.voucher.people.of(self._origin.caller.bearer), None if person else by)

    def _update_id(self, command: BaseModel, key: str) -> str:
        """The same for the same delivery, whatever a payload says the second time: the trail may not know it yet."""
        return job_id_for_key(self.by, f"{key}\n{type(command).__name__}")

    async def acting(self, service: str, environment: str) -> Acting:
        """The holder (on its way in, or live), else what is live."""
        try:
            state = await self._ports.deployments.environment(service, environment)
        except NotFound:
            state = None
        version = None if state is None else state.holder or state.live
        if version is None:
            raise InvalidState(f"Nothing of {service} runs in {environment}, so there is nothing to act on.")
        coming = state is not None and state.holder is not None and not state.holder.live
        asks = None if coming or state is None else await self._asks(state, version.deployment_id)
        return Acting(version.deployment_id, version.version, version.since, asks)

    async def _asks(self, state: EnvironmentState, deployment_id: str) -> str | None:
        """Of a version that is live. One on its way in goes back by itself: else it would be left half rolled out."""
        try:
            again = (await self._ports.deployments.get(deployment_id)).live_again
        except NotFound:
            return "its record was removed by policy, so nobody can tell how it came to be live."
        if again is not None and again.from_deployment_id is not None:
            return f"a rollback of {again.from_version} brought it back."
        if state.hold is not None:
            return f"{state.environment} is on hold by {state.hold.by}: {state.hold.reason}"
        return None

    async def ask_person(self, deployment_id: str, asked: AskPerson) -> None:
        """Have a person asked; a version whose workflow has closed has nobody to ask."""
        with suppress(NotFound):
            await ask_person(self._ports, deployment_id, asked)

    async def claim(self, service: str, environment: str, incident: str, acting: Acting) -> Incident | None:
        """Durable, for as long as HYBRIDCI_KEEP_INCIDENTS says."""
        by = Incident(deployment_id=acting.deployment_id, version=acting.version, at=self._ports.clock())
        return await self._ports.measured.claim(service, environment, f"{self._provider}:{incident}", by)

    async def unclaim(self, service: str, environment: str, incident: str, acting: Acting) -> None:
        """As it was before the claim."""
        known = f"{self._provider}:{incident}"
        await self._ports.measured.unclaim(service, environment, known, acting.deployment_id)

    async def waiting(self, service: str, version: str | None) -> str:
        """The newest open deployment of the version, if all are of one commit, or the only one that waits."""
        page = await self._ports.deployments.list(DeploymentQuery(service_name=service, limit=_PAGE))
        open_ones = [item for item in page.items if not item.status.final and item.status is not DeploymentStatus.LIVE]
        found = [item for item in open_ones if (item.version == version if version else item.waits_for is not None)]
        if not found:
            what = f"{service} {version} is not on its way" if version else f"No deployment of {service} waits"
            raise InvalidState(f"{what}, so there is nothing to decide.")
        if version is None and len(found) > 1:
            versions = ", ".join(item.version for item in found[:5])
            raise InvalidState(f"{len(found)} deployments of {service} wait ({versions}): name the version.")
        if len({item.git_commit_sha for item in found}) > 1:
            ways = ", ".join(f"{item.deployment_id} of {item.git_commit_sha[:12]}" for item in found[:5])
            raise InvalidState(
                f"{service} {version} is on its way more than once, of different commits ({ways}), and this does not "
                "say which is meant: decide with `hybridci deploy approve ID` or `hybridci deploy reject ID`."
            )
        return found[0].deployment_id

    async def done_before(self, mark: str, *, service: str | None, deployment_id: str | None) -> AuditEvent | None:
        """Among the newest hundred events: a delivery is repeated within hours, not after a hundred events."""
        query = EventQuery(service_name=service, deployment_id=deployment_id, limit=_PAGE)
        if deployment_id is not None:
            query = EventQuery(deployment_id=_known(deployment_id), limit=_PAGE)
        page = await self._ports.deployments.events(query)
        return next((event for event in page.items if event.via == self.by and _carries(event, mark)), None)


async def registered_services(ports: WebhookPorts) -> list[KnownService]:
    """All services, in their short form. Raises Unavailable."""
    found: list[KnownService] = []
    cursor: str | None = None
    while len(found) < _MAX_SERVICES:
        page = await ports.deployments.services(limit=_PAGE, cursor=cursor)
        found += [known_service(service) for service in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    return found


def caught_up_key(service: str, branch: str, commit: str) -> str:
    """Under which a head that no webhook told of is started once, whoever sees it."""
    return f"{CATCH_UP}:={branch}/{commit}:{service}"


def _carries(event: AuditEvent, mark: str) -> bool:
    """Refusals are written down too, but have done nothing."""
    if event.refused:
        return False
    texts = [event.reason or "", event.message, *(value for value in event.details.values() if isinstance(value, str))]
    return any(mark in text for text in texts)


def _known(deployment_id: str) -> str:
    if not is_uuid(deployment_id):
        raise NotFound(f"There is no deployment {deployment_id[:64]!r}: a deployment id is a UUID in lower case.")
    return deployment_id
