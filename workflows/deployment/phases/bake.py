"""Watch what monitoring reports for a while. A breach interrupts (``signals``); what cannot be told asks a person."""

from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.activities import judge_metrics
    from workflows.contracts.audit.types import EventType
    from workflows.contracts.deployments.metrics import MetricRow, MetricsQuestion
    from workflows.contracts.deployments.rules import Verification
    from workflows.deployment import record
    from workflows.deployment.context import Context
    from workflows.deployment.phases.paused import pause
    from workflows.deployment.progress import Failed, Interrupted, Phase
    from workflows.deployment.rules.verification import breached, inconclusive, judged_since, limits_of, unseen
    from workflows.deployment.watched import watch

_ROWS: Final = "a-bake-ends-with-the-rows-of-the-store"  # 2026-11: before, with the last samples of the record


async def run(context: Context) -> None:
    """Ends in ARRIVED, or in PAUSED. Raises Failed for a breach that nobody told, Interrupted."""
    journal = context.journal
    verification, since = context.state.environment.verification, context.state.progress.baking_since
    if verification is not None and since is not None and verification.bake_seconds:
        seconds = verification.bake_seconds
        await journal.record()
        await watch(context)
        await context.wait(lambda: False, until=since + seconds * 1000, summary=f"bake for {seconds} s")
        why = await _unclear(context, verification, since)
        if why:
            await pause(journal, f"{'; '.join(why)} while it baked for {seconds} s")
            return
    journal.move(Phase.ARRIVED)


async def _unclear(context: Context, verification: Verification, since: int) -> list[str]:
    """What cannot be told, in words. Raises Failed, Interrupted."""
    limits = limits_of(verification)
    if not limits:
        return []
    if not workflow.patched(_ROWS):
        silent = unseen(context.state.deployment.metric_samples, verification, since)
        return [f"nobody reported {', '.join(silent)}"] if silent else []
    rows = await _rows(context, verification, since)
    if context.state.interrupt is not None:
        raise Interrupted
    over = breached(rows)
    if over is not None:
        name = context.state.environment.name
        context.journal.change(record.metrics_told, rows)
        message = f"Metrics of {context.state.deployment.version} in {name}: {over}."
        raise Failed(EventType.DEPLOYMENT_METRICS_BREACHED, message)
    told = [row for row in context.state.deployment.metric_rows if row.environment == context.state.environment.name]
    return inconclusive(limits, rows, since, told)


async def _rows(context: Context, verification: Verification, since: int) -> list[MetricRow]:
    deployment, name = context.state.deployment, context.state.environment.name
    stage = deployment.stage(name)
    question = MetricsQuestion(
        deployment_id=deployment.deployment_id,
        environment=name,
        since=judged_since(deployment, stage) or since,
        limits=limits_of(verification),
        before=None if stage is None else stage.previous_deployment_id,
    )
    return (await context.calls.call(judge_metrics, question, summary=f"{name}: how do its metrics stand?")).rows
