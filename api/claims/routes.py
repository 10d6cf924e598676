"""Agents without Temporal: claim a job, announce its start, renew its lease, complete it.

All it takes to write one is in docs/http-agent.md. Logs and artifacts go where every agent's go
(``attempts.routes.delivery``). Deliberately not here: how a claim finds a job (``api.claims.service``), and whether an
agent may have one (``api.claims.claimers``).
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Final

from fastapi import APIRouter, Depends
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from api.auth.binding import NotYoursError
from api.auth.guard import Caller, require
from api.auth.principal import Principal
from api.claims.attempt_tasks import LeaseLapsed
from api.claims.claimers import admit, queues_of, reported, seen_working
from api.claims.leases import LeaseToken
from api.claims.ports import ClaimPorts, ClaimPortsDep
from api.claims.results import attempt_result, close_empty_log, recorded_already, started_at
from api.claims.service import ClientGone, WantedAttempt
from api.http.answers import json_answer
from api.http.bodies import json_body
from api.http.errors import ApiError, ProblemCode
from api.http.ids import JobId
from workflows.contracts.access import Operation
from workflows.contracts.attempts import AttemptStarted
from workflows.contracts.claims import (
    BeatClaim,
    Claimed,
    ClaimLease,
    ClaimRequest,
    CompleteClaim,
    Completed,
    StartClaim,
)
from workflows.contracts.errors import NotFound

router = APIRouter(prefix="/api/queue", tags=["agents"])
_STALE: Final = (
    "This lease is over: it was not renewed in time, its job was ended, or the attempt was completed. Stop what still"
    " runs of it; if the job has to run again, another attempt is queued already."
)


@router.post("/claim", response_model=Claimed, summary="Take jobs from a pool's queue")
async def claim_jobs(
    request: Request,
    wanted: Annotated[ClaimRequest, Depends(json_body(ClaimRequest))],
    ports: ClaimPortsDep,
    caller: Caller,
) -> Response:
    """Waits for the first job up to ``wait_seconds``, then adds what is there already, up to ``max_jobs``.

    404 `no_jobs_available` when none came. A job is yours until ``lease_seconds`` after this answer or the last
    heartbeat; count them by your own clock.
    """
    _require_agent(caller, wanted.agent_id, wanted.pool)

    async def check() -> None:
        await admit(ports, wanted)

    found = WantedAttempt(
        agent_id=wanted.agent_id,
        pool=wanted.pool,
        queues=await queues_of(ports, wanted),
        max_jobs=wanted.max_jobs,
        wait_seconds=wanted.wait_seconds,
        check=check,
    )
    async with _leaving(request) as gone:
        try:
            jobs = await ports.claims.claim(found, gone)
        except ClientGone:
            raise ClientDisconnect from None
    if not jobs:
        raise ApiError(
            ProblemCode.NO_JOBS_AVAILABLE,
            f"No job came to pool {wanted.pool} within {wanted.wait_seconds:g} s that this agent may run; claim again.",
        )
    return json_answer(Claimed(jobs=jobs).model_dump_json().encode())


@router.patch("/jobs/{job_id}/start", response_model=ClaimLease, summary="A claimed job has begun")
async def start_claimed_job(
    job_id: JobId,
    claimed: Annotated[StartClaim, Depends(json_body(StartClaim))],
    ports: ClaimPortsDep,
    caller: Caller,
) -> Response:
    """Makes the job show its agent as running, and renews the lease. Once is enough; 409 when the lease is over."""
    lease = _lease(ports, caller, job_id, claimed.agent_id, claimed.lease_token)
    now = ports.clock()
    renewed = await _renew(ports, lease)
    announcement = AttemptStarted(
        attempt=lease.attempt,
        agent_id=lease.agent_id,
        claimed_at=lease.claimed_at,
        started_at=now,
        lease_expires_at=renewed.lease_expires_at,
    )
    try:
        await ports.job_client.attempt_started(job_id, announcement)
    except NotFound:
        raise _stale() from None
    return json_answer(renewed.model_dump_json().encode())


@router.patch("/jobs/{job_id}/heartbeat", response_model=ClaimLease, summary="Renew a claimed job's lease")
async def renew_claim(
    job_id: JobId,
    claimed: Annotated[BeatClaim, Depends(json_body(BeatClaim))],
    ports: ClaimPortsDep,
    caller: Caller,
) -> Response:
    """Every few seconds. ``cancel_requested``: interrupt the job, give it 10 s, kill it, complete it as `cancelled`.

    409 when the lease is over: stop the job at once, for it may run elsewhere.
    """
    lease = _lease(ports, caller, job_id, claimed.agent_id, claimed.lease_token)
    renewed = await _renew(ports, lease)
    await seen_working(ports, lease.agent_id, job_id)
    return json_answer(renewed.model_dump_json().encode())


@router.patch("/jobs/{job_id}/complete", response_model=Completed, summary="A claimed job has ended")
async def complete_claimed_job(
    job_id: JobId,
    claimed: Annotated[CompleteClaim, Depends(json_body(CompleteClaim))],
    ports: ClaimPortsDep,
    caller: Caller,
) -> Response:
    """Send the rest of the log first. Repeat it until it is answered: the same completion again is answered the same.

    409 when the lease is over and the attempt was not ended by this completion.
    """
    lease = _lease(ports, caller, job_id, claimed.agent_id, claimed.lease_token)
    begun = await started_at(ports, lease, claimed)
    result = attempt_result(lease, claimed, begun, ports.clock())
    await close_empty_log(ports, lease, result)
    try:
        await ports.claims.complete(lease, result)
    except LeaseLapsed:
        if not await recorded_already(ports, lease, result):
            raise _stale() from None
    else:
        await reported(ports, lease.agent_id, result.outcome, result.message)
    answer = Completed(job_id=job_id, attempt=lease.attempt, outcome=result.outcome)
    return json_answer(answer.model_dump_json().encode())


def _require_agent(caller: Principal, agent_id: str, pool: str) -> None:
    """Raises ApiError forbidden: not this pool's key, or another agent's token."""
    require(caller, Operation.AGENT_WORK, pool=pool)
    if caller.agent_id is not None and caller.agent_id != agent_id:
        raise ApiError(
            ProblemCode.FORBIDDEN,
            f"This token is agent {caller.agent_id}'s, and the request names {agent_id}: an agent speaks for itself.",
        )


def _lease(ports: ClaimPorts, caller: Principal, job_id: str, agent_id: str, token: str) -> LeaseToken:
    """What the caller holds. Raises ApiError forbidden when it is not theirs."""
    try:
        lease = ports.claims.lease(agent_id, token)
    except NotYoursError:
        raise ApiError(
            ProblemCode.FORBIDDEN,
            f"This lease token was not given to agent {agent_id}: send the one from its own claim, unchanged.",
        ) from None
    if lease.job_id != job_id:
        raise ApiError(ProblemCode.FORBIDDEN, f"This lease token is for another job than {job_id}.")
    _require_agent(caller, agent_id, lease.pool)
    return lease


async def _renew(ports: ClaimPorts, lease: LeaseToken) -> ClaimLease:
    try:
        return await ports.claims.renew(lease)
    except LeaseLapsed:
        raise _stale() from None


def _stale() -> ApiError:
    return ApiError(ProblemCode.STALE_LEASE, _STALE)


@asynccontextmanager
async def _leaving(request: Request) -> AsyncGenerator[asyncio.Event]:
    """An event that is set when the client goes away. The body must have been read."""
    gone = asyncio.Event()

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone.set()

    watching = asyncio.create_task(watch())
    try:
        yield gone
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
