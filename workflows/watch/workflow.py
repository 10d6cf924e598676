"""MetricsWatchWorkflow: what a deployment's environment wants read, an agent of its pool reads, again and again: while
the version bakes, and more slowly while it is live. One question at a time, each an agent task, so that what asks is
signed, bounded and answered by agents that offer it, and no agent is held up.

What is read goes where all samples go and is judged there; the deployment hears what is news. It ends by itself when
the deployment has left the environment. Deliberately not here: whom an agent asks (``agent.metrics``), judging
(``workflows.deployment.rules.verification``).
"""

import asyncio
from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from workflows.calls import Calls
    from workflows.contracts.activities import keep_metrics, load_deployment
    from workflows.contracts.deployments.commands import AskPerson, ReportMetrics
    from workflows.contracts.deployments.deployment import Deployment, DeploymentStatus
    from workflows.contracts.deployments.metrics import PULLED, MetricRow, MetricsVerdict, MetricVerdict, WatchInput
    from workflows.contracts.deployments.rules import MetricCheck
    from workflows.contracts.deployments.services import Environment
    from workflows.contracts.ids import task_workflow_id
    from workflows.contracts.tasks import ReadingAnswer, ReadingQuestion, TaskOutcome, TaskResult, TaskStart
    from workflows.deployment.rules.verification import judged_since, report_of
    from workflows.job.recorded import is_continued, now_ms

_ANSWERED_WITHIN: Final = 30
_AGAIN_SECONDS: Final = 5
"""Until something of the version runs there."""
_UNREAD: Final = "unread"


@workflow.defn(name="MetricsWatchWorkflow")
class MetricsWatchWorkflow:
    """The watch over one deployment in one environment."""

    @workflow.init
    def __init__(self, start: WatchInput) -> None:
        self._start, self._calls = start, Calls()
        self._failed = dict(start.failed) if is_continued() else {}
        self._due: dict[str, int] = {}

    @workflow.run
    async def run(self, start: WatchInput) -> None:
        """Read what is due, until the deployment is elsewhere."""
        while True:
            deployment = await self._calls.call(
                load_deployment, start.deployment_id, summary="does it still stand here?"
            )
            if deployment is None or deployment.closed or deployment.environment != start.environment:
                return
            environment = next(each for each in deployment.definition.environments if each.name == start.environment)
            pause = _AGAIN_SECONDS * 1000
            if judged_since(deployment, deployment.stage(start.environment)) is not None:
                pause = await self._round(deployment, environment)
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(start.model_copy(update={"failed": self._failed}))
            await asyncio.sleep(pause / 1000)

    async def _round(self, deployment: Deployment, environment: Environment) -> int:
        """Read what is due. Returns how long nothing is due then, in ms."""
        checks = environment.verification.metrics if environment.verification is not None else []
        pulled = [check for check in checks if check.provider is not None]
        live = deployment.status is DeploymentStatus.LIVE
        for check in pulled:
            seconds = max(check.interval_seconds, check.live_interval_seconds) if live else check.interval_seconds
            if self._due.get(check.name, 0) <= now_ms():
                self._due[check.name] = now_ms() + seconds * 1000
                await self._read(deployment, environment, check)
        return max(min((self._due[check.name] for check in pulled), default=0) - now_ms(), 1000)

    async def _read(self, deployment: Deployment, environment: Environment, check: MetricCheck) -> None:
        result = await self._ask(deployment, environment, check)
        if result.outcome is not TaskOutcome.ANSWERED or not isinstance(result.answer, ReadingAnswer):
            await self._in_vain(deployment, check, result.message or result.outcome.value)
            return
        self._failed.pop(check.name, None)
        said = ReportMetrics(
            by=f"agent {result.agent_id}"[:256], via="agent", source=_source(check), at=now_ms(),
            metrics={check.name: result.answer.value},
        )  # fmt: skip
        try:
            told = await self._calls.call(
                keep_metrics, report_of(deployment, said, now_ms()), summary=f"{check.name}: {result.answer.value:g}"
            )
        except ApplicationError as error:
            workflow.logger.warning("what an agent read is refused: %s", error)
            return
        if told is not None:
            await self._signal("metrics_verdict", told)

    async def _ask(self, deployment: Deployment, environment: Environment, check: MetricCheck) -> TaskResult:
        about = {"service": deployment.service_name, "environment": environment.name, "version": deployment.version}
        question = ReadingQuestion(
            provider=check.provider or "",
            query=_filled(check.query, about),
            params={name: _filled(value, about) for name, value in check.params.items()},
            service=deployment.service_name,
            environment=environment.name,
            version=deployment.version,
        )
        task_id = str(workflow.uuid4())
        start = TaskStart(
            task_id=task_id,
            pool=environment.pool,
            question=question,
            seconds=_ANSWERED_WITHIN,
            service=deployment.service_name,
            by="workflow",
            via="workflow",
        )
        try:
            return await workflow.execute_child_workflow(
                "AgentTaskWorkflow",
                start,
                id=task_workflow_id(environment.pool, task_id),
                result_type=TaskResult,
                execution_timeout=timedelta(seconds=4 * _ANSWERED_WITHIN),
            )
        except FailureError as error:
            return TaskResult(task_id=task_id, pool=environment.pool, outcome=TaskOutcome.FAILED, message=str(error))

    async def _in_vain(self, deployment: Deployment, check: MetricCheck, why: str) -> None:
        """Told once, when it was read in vain often enough; a live version's person is asked then."""
        self._failed[check.name] = self._failed.get(check.name, 0) + 1
        if self._failed[check.name] != check.inconclusive_limit:
            return
        words = f"{check.name} cannot be read by {check.provider}: {why}"[:900]
        row = MetricRow(
            environment=self._start.environment,
            metric=check.name,
            source=_source(check),
            verdict=MetricVerdict.UNKNOWN,
            at=now_ms(),
            why=words,
        )
        await self._signal("metrics_verdict", MetricsVerdict(environment=self._start.environment, rows=[row]))
        if deployment.status is DeploymentStatus.LIVE:
            asked = AskPerson(
                what=words,
                why="nobody can tell how it does.",
                key=f"{_UNREAD}/{check.name}",
                by="workflow",
                via="workflow",
            )
            await self._signal("ask_person", asked)

    async def _signal(self, name: str, said: MetricsVerdict | AskPerson) -> None:
        handle = workflow.get_external_workflow_handle(self._start.workflow_id)
        try:
            await handle.signal(name, said)
        except FailureError as error:  # it has closed, which the next round sees
            workflow.logger.info("the deployment was not told: %s", error)


def _source(check: MetricCheck) -> str:
    return f"{PULLED}{check.provider}"


def _filled(text: str, about: dict[str, str]) -> str:
    """Names and versions hold no quotes and no braces, so that they say nothing to a query language."""
    for name, value in about.items():
        text = text.replace(f"{{{{{name}}}}}", value)
    return text
