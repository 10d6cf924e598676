"""Metrics that an agent of the environment's pool reads, on the real workflows with a scripted agent."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from temporalio import activity
from temporalio.worker import Worker

from activities.clock import epoch_millis
from tests.workflows.conftest import keep_history
from tests.workflows.deployment_harness import Deploys
from workflows.contracts.agents import Agent
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.ids import tasks_queue, watch_workflow_id
from workflows.contracts.tasks import ReadingAnswer, ReadingQuestion, TaskInput, TaskOutcome, TaskReport

CHECK: dict[str, Any] = {
    "name": "errors",
    "max": 0.1,
    "provider": "prometheus",
    "query": 'errors{service="{{service}}",version="{{version}}"}',
    "interval_seconds": 1,
    "live_interval_seconds": 30,
}


@asynccontextmanager
async def reading(
    deploys: Deploys, value: Callable[[ReadingQuestion], float | None]
) -> AsyncGenerator[list[ReadingQuestion]]:
    """An agent that reads this; None: it could not."""
    asked: list[ReadingQuestion] = []
    registered = Agent.model_validate(
        {
            "agent_id": "reader",
            "instance": "i" * 8,
            "pool": deploys.pool,
            "tasks": ["reading"],
            "registered_at": epoch_millis(),
        }
    )
    assert await deploys.stores.agents.put(registered, [])

    class Reader:
        @activity.defn(name="run_task")
        async def run_task(self, task: TaskInput) -> TaskReport:
            question = task.question
            assert isinstance(question, ReadingQuestion)
            asked.append(question)
            read = value(question)
            if read is None:
                why = "prometheus has no value for this query."
                return TaskReport(task_id=task.task_id, agent_id="reader", outcome=TaskOutcome.FAILED, message=why)
            answer = ReadingAnswer(value=read, at=1)
            return TaskReport(task_id=task.task_id, agent_id="reader", outcome=TaskOutcome.ANSWERED, answer=answer)

    async with Worker(deploys.client, task_queue=tasks_queue(deploys.pool), activities=[Reader().run_task]):
        yield asked


async def _watch_ends(deploys: Deploys, deployment: Deployment) -> None:
    handle = deploys.client.get_workflow_handle(watch_workflow_id(deployment.deployment_id, "production"))
    await handle.result()


async def _stop_watching(deploys: Deploys, deployment: Deployment) -> None:
    handle = deploys.client.get_workflow_handle(watch_workflow_id(deployment.deployment_id, "production"))
    await handle.terminate("the test is over")


async def test_a_version_bakes_on_what_an_agent_reads(deploys: Deploys) -> None:
    limits = {"bake_seconds": 3, "metrics": [CHECK]}
    async with reading(deploys, lambda _: 0.05) as asked:
        one = await deploys.start("1.0", deploys.service(deploys.environment(verification=limits)))
        live = await deploys.until_status(one, "live")
        assert [(row.metric, row.source, row.verdict) for row in live.metric_rows] == [
            ("errors", "pull:prometheus", "ok")
        ]
        samples = await deploys.samples(one)
        assert len(samples) >= 2
        assert {(each.value, each.by) for each in samples} == {(0.05, "agent reader")}
        assert asked[0].query == f'errors{{service="{deploys.name}",version="1.0"}}'
        await _stop_watching(deploys, one)


async def test_a_bad_reading_rolls_back_and_the_watch_ends(deploys: Deploys, request: pytest.FixtureRequest) -> None:
    limits = {"bake_seconds": 60, "metrics": [CHECK | {"consecutive_breaches": 2}]}
    await deploys.live("1.0", deploys.service(deploys.environment()))
    async with reading(deploys, lambda question: 0.5 if question.version == "1.1" else 0.01):
        two = await deploys.start("1.1", deploys.service(deploys.environment(verification=limits)))
        back = await deploys.until_status(two, "rolled_back")
        assert "errors 0.5 is above 0.1 (2 in a row)" in (back.error_message or "")
        await _watch_ends(deploys, two)
        await keep_history(
            request, deploys.client, watch_workflow_id(two.deployment_id, "production"), "watch-breached"
        )


async def test_what_nobody_can_read_pauses_and_says_why(deploys: Deploys) -> None:
    limits = {"bake_seconds": 4, "metrics": [CHECK | {"inconclusive_limit": 2}]}
    async with reading(deploys, lambda _: None):
        one = await deploys.start("1.0", deploys.service(deploys.environment(verification=limits)))
        paused = await deploys.until_waits(one, "hybridci deploy resume")
        for words in ("nobody reported errors", "errors cannot be read by prometheus", "no value for this query"):
            assert words in (paused.waits_for or ""), paused.waits_for
        await _stop_watching(deploys, one)


async def test_without_an_agent_that_has_the_provider_it_pauses_and_says_so(deploys: Deploys) -> None:
    limits = {"bake_seconds": 3, "metrics": [CHECK | {"inconclusive_limit": 1}]}
    one = await deploys.start("1.0", deploys.service(deploys.environment(verification=limits)))
    paused = await deploys.until_waits(one, "hybridci deploy resume")
    assert f"No agent of pool {deploys.pool} answers questions of kind reading now" in (paused.waits_for or "")
    await _stop_watching(deploys, one)


async def test_too_many_bad_readings_are_a_breach_without_being_in_a_row(deploys: Deploys) -> None:
    limits = {"metrics": [{"name": "errors", "max": 0.1, "failure_limit": 2}]}
    service = deploys.service(deploys.environment(verification=limits))
    await deploys.live("1.0", service)
    two = await deploys.live("1.1", service)
    for value in (0.5, 0.01, 0.5, 0.01):
        await deploys.measure(two, metrics={"errors": value})
    assert (await deploys.get(two)).rollback is None
    await deploys.measure(two, metrics={"errors": 0.5})
    back = await deploys.until_status(two, "rolled_back")
    assert "errors 0.5 is above 0.1: 3 of the last 5, and 2 may be" in (back.error_message or "")
