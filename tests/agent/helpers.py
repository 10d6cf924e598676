"""Starting an attempt and waiting for things."""

import asyncio
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowHandle

from tests.agent.agent_process import OneAttempt
from workflows.contracts.attempts import AttemptInput, AttemptResult
from workflows.contracts.statuses import Outcome

QUEUE = "one-attempt"
SECRETS = {f"S{number}": f"s3cr3t-{number}-{hashlib.sha256(b'%d' % number).hexdigest()[:24]}" for number in range(20)}


def with_secrets(folder: Path) -> dict[str, str]:
    """The environment of an agent that has SECRETS, from its environment."""
    file = folder / "secrets.yml"
    file.write_text("".join(f"{name}: {{env: VALUE_{name}}}\n" for name in SECRETS))
    return {"HYBRIDCI_SECRETS_FILE": str(file), **{f"VALUE_{name}": value for name, value in SECRETS.items()}}


async def begin(client: Client, attempt: AttemptInput) -> WorkflowHandle[Any, AttemptResult]:
    return await client.start_workflow(OneAttempt.run, attempt, id=f"one-{attempt.job_id}", task_queue=QUEUE)


async def result_of(client: Client, attempt: AttemptInput) -> AttemptResult:
    return await asyncio.wait_for((await begin(client, attempt)).result(), 60)


async def succeeded(client: Client, attempt: AttemptInput, handle: WorkflowHandle[Any, AttemptResult]) -> bool:
    """In the end: a poll that was out when the agent took nothing more is declined, and ``JobWorkflow`` asks again."""
    result = await asyncio.wait_for(handle.result(), 60)
    if result.outcome is Outcome.DECLINED:
        result = await result_of(client, attempt)
    return result.outcome is Outcome.SUCCEEDED


async def eventually(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        await asyncio.sleep(0.02)
