"""Names shared by all processes: workflow ids, task queues, job ids. No pydantic here: the gateway goes without it."""

import hashlib
import re
import uuid
from collections.abc import Sequence
from typing import Final

CONTROL_QUEUE: Final = "control"
POOL_QUEUE_PREFIX: Final = "pool-"
DEFAULT_POOL: Final = "default"
TASKS_SUFFIX: Final = "~tasks"
"""What follows a pool's queue in the name of that of its agent tasks."""
LEASE_SECONDS: Final = 30
"""An attempt's lease: an agent that is silent for so long has lost the attempt (DESIGN: heartbeat_timeout)."""

NAME_PATTERN: Final = r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$"
AGENT_ID_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
JOB_ID_PATTERN: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_UUID_CHARACTERS: Final = 36
_IDEMPOTENCY_NAMESPACE: Final = uuid.UUID("7f1c1c52-3f4e-5a54-9d4f-0a3f6f0c1d11")


def job_workflow_id(job_id: str) -> str:
    """The id of a job's workflow."""
    return f"job-{job_id}"


def pool_queue(pool: str, requires: Sequence[str] = ()) -> str:
    """The task queue that the agents of a pool poll; with ``requires``, those of them that meet the requirements.

    No pool's name has a '~', so that a queue belongs to one pool.
    """
    return f"{POOL_QUEUE_PREFIX}{pool}{f'~{_digest(requires)}' if requires else ''}"


def tasks_queue(pool: str) -> str:
    """The task queue of a pool's agent tasks. Not ``pool-<name>-tasks``, which is the queue of a pool of that name: it
    would get this pool's questions, and this pool its jobs.
    """
    return f"{pool_queue(pool)}{TASKS_SUFFIX}"


def resume_queue(pool: str, agent_id: str) -> str:
    """The task queue of one agent of a pool, for jobs of which it alone has what they have done. It looks like that of
    a demand, which gateways let agents poll.
    """
    return pool_queue(pool, [f"hybridci/resume={agent_id}"])


def is_queue_of(pool: str, queue: str) -> bool:
    """True for the queues of this pool."""
    return queue == pool_queue(pool) or queue.startswith(f"{pool_queue(pool)}~")


def _digest(requires: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(sorted(set(requires))).encode()).hexdigest()[:16]


def new_job_id() -> str:
    """A random job id. Not for workflow code, which takes ``workflow.uuid4()``."""
    return str(uuid.uuid4())


def job_id_for_key(principal: str, idempotency_key: str) -> str:
    """The one job id that a caller's idempotency key stands for, so that Temporal itself refuses the second start."""
    return str(uuid.uuid5(_IDEMPOTENCY_NAMESPACE, f"{principal}\n{idempotency_key}"))


def is_uuid(text: str) -> bool:
    """True for a UUID in lower case: the ids of jobs, deployments, bulk redrives and their like."""
    return re.fullmatch(JOB_ID_PATTERN, text) is not None


def redrive_workflow_id(redrive_id: str) -> str:
    """The id of a bulk redrive's workflow."""
    return f"redrive-{redrive_id}"


def line_workflow_id(change_id: str) -> str:
    """The id of the workflow of one change of the line."""
    return f"line-{change_id}"


def deployment_workflow_id(service: str, version: str, deployment_id: str) -> str:
    """The id of a deployment's workflow, readable in the Temporal UI."""
    return f"deploy-{service}-{version}-{deployment_id}"


def deployment_id_of(workflow_id: str) -> str:
    """The id at the end of a deployment's workflow id."""
    return workflow_id[-_UUID_CHARACTERS:]


def repair_workflow_id(workflow_id: str) -> str:
    """The id of the workflow that repairs this one: one repair at a time."""
    return f"repair-{workflow_id}"


def task_workflow_id(pool: str, task_id: str) -> str:
    """The id of the workflow that asks a pool's agents. It names the pool, so that a task is found with it only."""
    return f"task-{pool}-{task_id}"


def watch_workflow_id(deployment_id: str, environment: str) -> str:
    """The id of the workflow that has a deployment's metrics read in an environment."""
    return f"watch-{environment}-{deployment_id}"


def environment_workflow_id(service: str, environment: str) -> str:
    """The id of the workflow that owns an environment's lock."""
    return f"env-{service}-{environment}"


def service_workflow_id(service: str, change_id: str) -> str:
    """The id of the short workflow that registers a service's definition."""
    return f"service-{service}-{change_id}"


def ban_workflow_id(service: str, change_id: str) -> str:
    """The id of the short workflow that bans a version of a service, or lifts bans."""
    return f"ban-{service}-{change_id}"
