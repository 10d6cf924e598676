"""Agent tasks: ask a pool's agents something, look what became of it, withdraw it.

What there is no agent for is told at once, as an outcome. Deliberately not here: what can be asked
(``contracts.tasks``), how agents answer (``agent.tasks``).
"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path
from starlette.responses import Response

from api.auth.guard import Caller, require
from api.auth.idempotency import REPLAY_HEADER, IdempotencyKey, fingerprint, id_for, require_same
from api.auth.origin import OriginDep
from api.http.answers import json_answer
from api.http.bodies import json_body
from api.http.ids import TaskId
from api.tasks.ports import TaskPorts, TaskPortsDep
from api.tasks.schemas import TaskRequest, TaskView, task_view
from workflows.contracts.access import Operation
from workflows.contracts.fields import Name
from workflows.contracts.tasks import TaskStart

router = APIRouter(prefix="/api/agents/pools/{name}/tasks", tags=["tasks"])
PoolName = Annotated[Name, Path(description="The pool's name.")]
_WAIT_SECONDS: Final = 20.0
"""So long a request waits for an answer: below the patience of clients and proxies."""
_WITHDRAWN_SECONDS: Final = 5.0
_CREATED: Final = 201


@router.post("", status_code=_CREATED, response_model=TaskView, summary="Ask a pool's agents")
async def ask_pool(
    name: PoolName,
    asked: Annotated[TaskRequest, Depends(json_body(TaskRequest))],
    ports: TaskPortsDep,
    origin: OriginDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """One question of the catalogue. Answered at once as a rule; with ``outcome`` null after 20 s, ask ``Location``.

    ``not_offered`` says that no agent of the pool answers such questions now.
    """
    require(origin.caller, Operation.TASKS_ASK, pool=name)
    digest = None if idempotency_key is None else fingerprint(f"task {name}", asked)
    start = TaskStart(
        task_id=id_for(origin.caller, idempotency_key),
        pool=name,
        question=asked.question,
        seconds=asked.timeout_seconds,
        fingerprint=digest,
        **origin.fields(),
    )
    begun = await ports.task_client.ask(start)
    require_same(begun.fingerprint, digest, what=f"task {start.task_id}")
    answer = await _answer(ports, name, start.task_id, _WAIT_SECONDS, _CREATED)
    answer.headers["Location"] = f"/api/agents/pools/{name}/tasks/{start.task_id}"
    if begun is not start:
        answer.headers[REPLAY_HEADER] = "true"
    return answer


@router.get("/{task_id}", response_model=TaskView, summary="Show what became of a question")
async def get_task(name: PoolName, task_id: TaskId, ports: TaskPortsDep, caller: Caller) -> Response:
    """Waits up to 20 s for one that is under way. Kept as long as Temporal keeps what has ended."""
    require(caller, Operation.TASKS_ASK, pool=name)
    return await _answer(ports, name, task_id, _WAIT_SECONDS)


@router.post("/{task_id}/cancel", response_model=TaskView, summary="Withdraw a question")
async def cancel_task(name: PoolName, task_id: TaskId, ports: TaskPortsDep, caller: Caller) -> Response:
    """The agent that works on it is told within seconds. One that has ended stays as it is."""
    require(caller, Operation.TASKS_ASK, pool=name)
    await ports.task_client.cancel(name, task_id)
    return await _answer(ports, name, task_id, _WITHDRAWN_SECONDS)


async def _answer(ports: TaskPorts, pool: str, task_id: str, seconds: float, status: int = 200) -> Response:
    result = await ports.task_client.result(pool, task_id, within=seconds)
    return json_answer(task_view(pool, task_id, result).model_dump_json().encode(), status)
