"""A workflow with one activity on a pool's queue: what an agent sees of a job."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

QUEUE = "gateway-tests"


@dataclass
class Order:
    """``how``: succeed, fail, wait (until it is cancelled) or slow (a fifth of a second)."""

    queue: str
    how: str = "succeed"
    lease_seconds: float = 5


@activity.defn
async def work(how: str) -> str:
    info = activity.info()
    activity.heartbeat("begun")
    if how == "fail":
        raise ApplicationError("as told", non_retryable=True)
    if how == "slow":
        await asyncio.sleep(0.2)
    while how == "wait":
        activity.heartbeat("waiting")
        await asyncio.sleep(0.1)
    return f"{how} on {info.task_queue}"


@workflow.defn
class GatewayJob:
    @workflow.run
    async def run(self, order: Order) -> str:
        return await workflow.execute_activity(
            work,
            order.how,
            task_queue=order.queue,
            start_to_close_timeout=timedelta(seconds=60),
            heartbeat_timeout=timedelta(seconds=order.lease_seconds),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )


async def start(
    client: Client, queue: str, how: str = "succeed", lease_seconds: float = 5
) -> "WorkflowHandle[GatewayJob, str]":
    return await client.start_workflow(
        GatewayJob.run, Order(queue, how, lease_seconds), id=f"gateway-{uuid.uuid4()}", task_queue=QUEUE
    )


@asynccontextmanager
async def orchestrating(client: Client) -> AsyncGenerator[None]:
    """The workflows' side, which talks to Temporal directly."""
    async with Worker(client, task_queue=QUEUE, workflows=[GatewayJob], workflow_runner=UnsandboxedWorkflowRunner()):
        yield


def describe(queue: str) -> DescribeTaskQueueRequest:
    return DescribeTaskQueueRequest(
        namespace="default", task_queue=TaskQueue(name=queue), task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
    )


async def until_polled(client: Client, queue: str, identity: str) -> None:
    for _ in range(600):
        described = await client.workflow_service.describe_task_queue(describe(queue))
        if identity in {poller.identity for poller in described.pollers}:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"nobody polled {queue} within 30 s")


async def until_running(handle: WorkflowHandle[Any, Any]) -> None:
    for _ in range(600):
        description = await handle.describe()
        if any(each.HasField("last_started_time") for each in description.raw_description.pending_activities):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the activity did not start within 30 s")
