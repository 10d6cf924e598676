"""Starting an attempt and waiting for things."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from temporalio.client import Client, WorkflowHandle

from tests.agent.agent_process import OneAttempt
from workflows.contracts.attempts import AttemptInput, AttemptResult

QUEUE = "one-attempt"


async def begin(client: Client, attempt: AttemptInput) -> WorkflowHandle[Any, AttemptResult]:
    return await client.start_workflow(OneAttempt.run, attempt, id=f"one-{attempt.job_id}", task_queue=QUEUE)


async def result_of(client: Client, attempt: AttemptInput) -> AttemptResult:
    return await asyncio.wait_for((await begin(client, attempt)).result(), 30)


async def eventually(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        await asyncio.sleep(0.02)
