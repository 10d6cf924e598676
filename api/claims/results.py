"""What an HTTP agent's completion means: the attempt's result, and whether the record has it already.

The agent's clock is not trusted: times are ours, or lie between the claim and now. Deliberately not here: HTTP.
"""

import asyncio
from typing import Final

from activities.stores.interfaces.logs import LogChunk
from api.claims.leases import LeaseToken
from api.claims.ports import ClaimPorts
from api.logs.stream import closing_stream
from workflows.contracts.attempts import AttemptResult
from workflows.contracts.claims import CompleteClaim
from workflows.contracts.errors import FieldError, NotFound, ValidationFailed
from workflows.contracts.jobs import Attempt
from workflows.contracts.statuses import Outcome

_CAUSES: Final = {
    Outcome.SUCCEEDED: None,
    Outcome.FAILED: "exit_code",
    Outcome.TIMED_OUT: "job_timeout",
    Outcome.CANCELLED: "cancelled",
    Outcome.CHECKOUT_FAILED: "checkout",
    Outcome.AGENT_LOST: "agent_stopped",
    Outcome.AGENT_ERROR: "agent_failure",
    Outcome.DECLINED: "declined",
}
"""Other words than the outcome's own: those say in a record that no agent reported."""
_MESSAGES: Final = {
    Outcome.TIMED_OUT: "The attempt ran longer than it may and was ended.",
    Outcome.CANCELLED: "The attempt was cancelled.",
    Outcome.CHECKOUT_FAILED: "The commit could not be checked out.",
    Outcome.AGENT_LOST: "The agent gave the attempt up.",
    Outcome.AGENT_ERROR: "The agent could not run the attempt.",
    Outcome.DECLINED: "The agent leaves the attempt to another one.",
}
_RECORD_PAUSES: Final = (0.0, 0.1, 0.2, 0.4, 0.8)
"""The record follows a result within a moment."""


def attempt_result(lease: LeaseToken, claimed: CompleteClaim, begun: int | None, now: int) -> AttemptResult:
    """The result that the job is told. Raises ValidationFailed when outcome and exit code do not agree."""
    outcome = _outcome(claimed)
    exit_code = 0 if outcome is Outcome.SUCCEEDED else claimed.exit_code
    return AttemptResult(
        attempt=lease.attempt,
        agent_id=lease.agent_id,
        outcome=outcome,
        exit_code=exit_code,
        cause=_CAUSES[outcome],
        message=claimed.error_message or _message(outcome, exit_code),
        claimed_at=lease.claimed_at,
        started_at=begun,
        finished_at=now,
        log_bytes=claimed.log_bytes,
        log_sha256=claimed.log_sha256,
    )


async def started_at(ports: ClaimPorts, lease: LeaseToken, claimed: CompleteClaim) -> int | None:
    """When it began: as it was announced, else as the agent says, as far as that can be."""
    attempt = await _recorded(ports, lease)
    if attempt is not None and attempt.agent_id == lease.agent_id and attempt.started_at is not None:
        return attempt.started_at
    if claimed.started_at is None:
        return None
    return max(lease.claimed_at, min(claimed.started_at, ports.clock()))


async def close_empty_log(ports: ClaimPorts, lease: LeaseToken, result: AttemptResult) -> None:
    """Without a last chunk readers would wait for the log of an agent that sends none."""
    if result.log_bytes or result.outcome is Outcome.DECLINED:
        return
    async with closing_stream(ports.logs.read(lease.job_id, lease.attempt)) as chunks:
        first = await anext(chunks, None)
    if first is None:
        await ports.logs.append(lease.job_id, lease.attempt, LogChunk(offset=0, data=b"", final=True))


async def recorded_already(ports: ClaimPorts, lease: LeaseToken, result: AttemptResult) -> bool:
    """True when the record shows that this agent ended this attempt so: the completion came before."""
    for pause in _RECORD_PAUSES:
        await asyncio.sleep(pause)
        attempt = await _recorded(ports, lease)
        if attempt is not None and attempt.finished_at is not None:
            said = (attempt.agent_id, attempt.outcome, attempt.exit_code, attempt.cause)
            return said == (lease.agent_id, result.outcome, result.exit_code, result.cause)
    return False


async def _recorded(ports: ClaimPorts, lease: LeaseToken) -> Attempt | None:
    try:
        job = await ports.reader.get(lease.job_id)
    except NotFound:
        return None
    return next((attempt for attempt in job.attempts if attempt.number == lease.attempt), None)


def _outcome(claimed: CompleteClaim) -> Outcome:
    if claimed.outcome is None:
        if claimed.exit_code is None:
            raise _contradiction("exit_code", "is needed when there is no outcome")
        return Outcome.SUCCEEDED if claimed.exit_code == 0 else Outcome.FAILED
    if claimed.outcome is Outcome.SUCCEEDED and claimed.exit_code not in {None, 0}:
        raise _contradiction("exit_code", "must be 0 for a job that succeeded")
    if claimed.outcome is Outcome.FAILED and claimed.exit_code == 0:
        raise _contradiction("exit_code", "must not be 0 for a job that failed")
    return claimed.outcome


def _contradiction(field: str, message: str) -> ValidationFailed:
    return ValidationFailed(f"{field} {message}.", [FieldError(field=field, message=message)])


def _message(outcome: Outcome, exit_code: int | None) -> str | None:
    if outcome is Outcome.FAILED:
        return "A step failed." if exit_code is None else f"A step ended with exit code {exit_code}."
    return _MESSAGES.get(outcome)
