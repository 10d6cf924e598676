"""Typed activity stubs: the names and types that workflows call. The bodies are in ``activities`` and ``agent``.

The one place in the contracts that imports temporalio: a stub without its decorator has no name to call it by.
"""

from temporalio import activity

from workflows.contracts.attempts import AttemptInput, AttemptResult
from workflows.contracts.commands import JobInput, ReconcileResult
from workflows.contracts.deployments.approvals import ApprovalFacts, ApprovalQuestion
from workflows.contracts.deployments.bans import BanCommand, BanList, BanQuestion, BanResult, LeftVersion, LiftBan
from workflows.contracts.deployments.deployment import Deployment, DeploymentWrite
from workflows.contracts.deployments.environments import (
    EnvironmentInput,
    EnvironmentState,
    EnvironmentWrite,
    FreezeAnswer,
    FreezeQuestion,
    SignalEnvironment,
)
from workflows.contracts.deployments.line import LineChange, LineChanged, StopAnswer, StopQuestion, StopScope
from workflows.contracts.deployments.metrics import MetricsFacts, MetricsQuestion, MetricsReport, MetricsVerdict
from workflows.contracts.deployments.order import OrderFacts, OrderQuestion, Pushes, PushQuestion
from workflows.contracts.deployments.policy import DecidePolicyChange
from workflows.contracts.deployments.reopening import LiveSwept, Reopened, TellLive
from workflows.contracts.deployments.services import DefinitionRequest, Service, ServiceDefinition, ServiceWrite
from workflows.contracts.deployments.standing import ChangeStanding
from workflows.contracts.records import AwaitJobs, JobWrite, RedriveJobs, RedriveJobsResult, SelectDeadLetters
from workflows.contracts.repairs import End, RepairNote, RepairProgress, Reset, Standing, Subject
from workflows.contracts.sealed import SpecSignature
from workflows.contracts.statuses import JobStatus
from workflows.contracts.storage.retention import SweepNote, SweepResult, SweepTask
from workflows.contracts.tasks import TaskInput, TaskOffer, TaskReport, TaskStart


@activity.defn(name="run_attempt")
async def run_attempt(attempt: AttemptInput) -> AttemptResult:
    """Agent: run one attempt to its end."""
    raise NotImplementedError


@activity.defn(name="run_task")
async def run_task(task: TaskInput) -> TaskReport:
    """Agent: answer one question. What went wrong is a report too; heartbeats."""
    raise NotImplementedError


@activity.defn(name="offer_task")
async def offer_task(start: TaskStart) -> TaskOffer:
    """Control: who answers such questions now, the signature, and the question in the audit trail."""
    raise NotImplementedError


@activity.defn(name="create_job")
async def create_job(write: JobWrite) -> None:
    """Control: validate and create the record (chain JobCreation). Raises validation_failed, not retryable."""
    raise NotImplementedError


@activity.defn(name="record_job")
async def record_job(write: JobWrite) -> None:
    """Control: write the record's next state (chain JobExecution or the queue chain of its transition)."""
    raise NotImplementedError


@activity.defn(name="select_dead_letters")
async def select_dead_letters(request: SelectDeadLetters) -> list[str]:
    """Control: the ids of matching dead letters, oldest first."""
    raise NotImplementedError


@activity.defn(name="redrive_jobs")
async def redrive_jobs(request: RedriveJobs) -> RedriveJobsResult:
    """Control: send each job its redrive update."""
    raise NotImplementedError


@activity.defn(name="await_jobs")
async def await_jobs(request: AwaitJobs) -> dict[str, JobStatus]:
    """Control: wait until all have ended; heartbeats. Returns each job's status."""
    raise NotImplementedError


@activity.defn(name="reconcile_jobs")
async def reconcile_jobs() -> ReconcileResult:
    """Control: close the records whose workflow was closed behind our back (terminated in the Temporal UI)."""
    raise NotImplementedError


@activity.defn(name="apply_service")
async def apply_service(write: ServiceWrite) -> Service:
    """Control: register or change a service, with its audit event. Raises validation_failed, invalid_state."""
    raise NotImplementedError


@activity.defn(name="decide_policy_change")
async def decide_policy_change(decision: DecidePolicyChange) -> Service:
    """Control: apply or reject a change of a service's policy that waits. Raises invalid_state, not retryable."""
    raise NotImplementedError


@activity.defn(name="change_standing")
async def change_standing(asked: ChangeStanding) -> Service:
    """Control: archive a service, take it into use again, delete it. Raises not_found, invalid_state, not retryable."""
    raise NotImplementedError


@activity.defn(name="create_deployment")
async def create_deployment(write: DeploymentWrite) -> str | None:
    """Control: validate and create the record (chain DeploymentCreation). Returns why nobody knows who started it, None
    when the API says so. Raises validation_failed, and invalid_state where that must be known, both not retryable.
    """
    raise NotImplementedError


@activity.defn(name="record_deployment")
async def record_deployment(write: DeploymentWrite) -> None:
    """Control: write the record's next state (chain DeploymentLifecycle of its operation)."""
    raise NotImplementedError


@activity.defn(name="load_deployment")
async def load_deployment(deployment_id: str) -> Deployment | None:
    """Control: the record, or None."""
    raise NotImplementedError


@activity.defn(name="keep_metrics")
async def keep_metrics(report: MetricsReport) -> MetricsVerdict | None:
    """Control: keep values that were reported by a signal; the rows of which a deployment must hear. Raises
    validation_failed, not retryable.
    """
    raise NotImplementedError


@activity.defn(name="judge_metrics")
async def judge_metrics(question: MetricsQuestion) -> MetricsFacts:
    """Control: how each row of a deployment's limited metrics stands."""
    raise NotImplementedError


@activity.defn(name="sign_specification")
async def sign_specification(start: JobInput) -> SpecSignature | None:
    """Control: sign what a deployment's job is to run. None when this worker has no key to sign with."""
    raise NotImplementedError


@activity.defn(name="approval_facts")
async def approval_facts(question: ApprovalQuestion) -> ApprovalFacts:
    """Control: who may approve as the service is registered now, and which approvals the API vouches for."""
    raise NotImplementedError


@activity.defn(name="load_definition")
async def load_definition(request: DefinitionRequest) -> ServiceDefinition:
    """Control: read and validate a definition that an agent uploaded. Raises validation_failed, not retryable."""
    raise NotImplementedError


@activity.defn(name="reconcile_deployments")
async def reconcile_deployments() -> ReconcileResult:
    """Control: close the records of deployments whose workflow was closed behind our back."""
    raise NotImplementedError


@activity.defn(name="sweep_live")
async def sweep_live() -> LiveSwept:
    """Control: compare what is live in environments, records and workflows, and put it right."""
    raise NotImplementedError


@activity.defn(name="signal_environment")
async def signal_environment(signal: SignalEnvironment) -> None:
    """Control: send one signal to the environment's workflow, starting it when there is none (signal-with-start)."""
    raise NotImplementedError


@activity.defn(name="tell_live")
async def tell_live(tell: TellLive) -> None:
    """Control: tell what is live that it holds its environment, starting its workflow when there is none. Raises
    invalid_state, not retryable, for a deployment without a record.
    """
    raise NotImplementedError


@activity.defn(name="reopen_deployment")
async def reopen_deployment(deployment_id: str) -> Reopened:
    """Control: make the record of what is live in its environment live again, and hand over what its workflow needs.
    Raises conflict and invalid_state, not retryable, for any other deployment.
    """
    raise NotImplementedError


@activity.defn(name="load_environment")
async def load_environment(start: EnvironmentInput) -> EnvironmentState | None:
    """Control: the environment's record as last written, or None."""
    raise NotImplementedError


@activity.defn(name="record_environment")
async def record_environment(write: EnvironmentWrite) -> None:
    """Control: write the environment's record and events."""
    raise NotImplementedError


@activity.defn(name="check_freeze")
async def check_freeze(question: FreezeQuestion) -> FreezeAnswer:
    """Control: is one of these recurring freezes on? Not in workflow code: time zones are data that change."""
    raise NotImplementedError


@activity.defn(name="check_stops")
async def check_stops(question: StopQuestion) -> StopAnswer:
    """Control: which freezes and holds of the line, and if asked of the environment, stop a rollout now?"""
    raise NotImplementedError


@activity.defn(name="change_line")
async def change_line(change: LineChange) -> LineChanged:
    """Control: add or end a freeze or hold of many, with its audit event. Raises validation_failed, invalid_state."""
    raise NotImplementedError


@activity.defn(name="tell_environments")
async def tell_environments(scopes: list[StopScope]) -> int:
    """Control: tell the open environments that these scopes may concern to look again; heartbeats. Returns how many."""
    raise NotImplementedError


@activity.defn(name="await_closed")
async def await_closed(workflow_id: str) -> str:
    """Control: wait until this workflow has closed, however it did; heartbeats. Returns its status in lower case.

    ``not_found`` when there is none.
    """
    raise NotImplementedError


@activity.defn(name="judge_workflow")
async def judge_workflow(subject: Subject) -> Standing:
    """Control: can this workflow go on, and where may it be taken back to?"""
    raise NotImplementedError


@activity.defn(name="reset_workflow")
async def reset_workflow(reset: Reset) -> None:
    """Control: take a workflow back to a good task. The same request again does nothing."""
    raise NotImplementedError


@activity.defn(name="await_progress")
async def await_progress(subject: Subject) -> RepairProgress:
    """Control: wait until a workflow that was reset goes on or fails again, or for a while; heartbeats."""
    raise NotImplementedError


@activity.defn(name="end_workflow")
async def end_workflow(end: End) -> None:
    """Control: terminate a workflow and put its record right; a lock's starts anew from its record."""
    raise NotImplementedError


@activity.defn(name="note_repair")
async def note_repair(note: RepairNote) -> None:
    """Control: keep a repair in the audit trail."""
    raise NotImplementedError


@activity.defn(name="sweep_records")
async def sweep_records(task: SweepTask) -> SweepResult:
    """Control: remove what of one kind is older than the policy says, as much as one sweep may; heartbeats."""
    raise NotImplementedError


@activity.defn(name="note_sweep")
async def note_sweep(note: SweepNote) -> None:
    """Control: keep how a sweep went, and in the audit trail what it removed."""
    raise NotImplementedError


@activity.defn(name="ban_version")
async def ban_version(command: BanCommand) -> BanResult:
    """Control: ban a version or commit of a service, with its event; who is open of it."""
    raise NotImplementedError


@activity.defn(name="lift_ban")
async def lift_ban(command: LiftBan) -> BanResult:
    """Control: lift every ban of a version or commit, with the event."""
    raise NotImplementedError


@activity.defn(name="ban_left_version")
async def ban_left_version(left: LeftVersion) -> BanResult:
    """Control: ban what a rollback left, with its event. The same rollback again does nothing."""
    raise NotImplementedError


@activity.defn(name="find_bans")
async def find_bans(question: BanQuestion) -> BanList:
    """Control: those of a service's bans that are about one of these versions; a consistent read."""
    raise NotImplementedError


@activity.defn(name="order_facts")
async def order_facts(question: OrderQuestion) -> OrderFacts:
    """Control: who is live or ahead in an environment, what is banned, how many agents could tell the order."""
    raise NotImplementedError


@activity.defn(name="find_pushes")
async def find_pushes(question: PushQuestion) -> Pushes:
    """Control: what forges said of the pushes that brought these deployments' commits, where they started them."""
    raise NotImplementedError
