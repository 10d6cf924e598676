"""ALL retry decisions of a job, pure: what happens after an attempt that did not succeed.

Budgets are separate by cause: a flaky test must not use up what is meant for lost agents, nor the other way round.
Deliberately not here: doing it (``workflows.job.workflow``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from workflows.contracts.jobs import Attempt, RetryPolicy
from workflows.contracts.statuses import JobStatus, Outcome


class Action(StrEnum):
    """What follows an attempt."""

    FINISH = "finish"  # the job has its final status
    RETRY = "retry"  # another attempt, after ``delay_seconds``
    PARK = "park"  # the budget is used up: dead letter


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """``status`` is the final status: now for FINISH, on giving up for PARK. ``reason`` is a sentence for people."""

    action: Action
    status: JobStatus
    reason: str
    delay_seconds: float = 0


FINAL_STATUS: Final = {
    Outcome.SUCCEEDED: JobStatus.SUCCESS,
    Outcome.CANCELLED: JobStatus.CANCELLED,
    Outcome.FAILED: JobStatus.FAILED,
    Outcome.TIMED_OUT: JobStatus.TIMEOUT,
    Outcome.CHECKOUT_FAILED: JobStatus.ERROR,
    Outcome.AGENT_LOST: JobStatus.ERROR,
    Outcome.AGENT_ERROR: JobStatus.ERROR,
}

MAX_DECLINES: Final = 1
"""How often an agent may leave one attempt to others, so that a pool of one agent still runs it."""


def decide(policy: RetryPolicy, round_attempts: Sequence[Attempt], *, retryable: bool) -> RetryDecision:
    """Decide after the last of ``round_attempts``: the attempts since the start or the last redrive.

    ``retryable`` False is the agent's word that another try cannot help (an unknown commit).
    """
    last = round_attempts[-1]
    outcome = last.outcome or Outcome.AGENT_ERROR
    status = FINAL_STATUS.get(outcome, JobStatus.ERROR)
    if outcome in {Outcome.SUCCEEDED, Outcome.CANCELLED}:
        return RetryDecision(Action.FINISH, status, last.message or str(outcome))
    what = last.message or _describe(last)
    if outcome is Outcome.FAILED and last.exit_code in policy.final_exit_codes:
        return RetryDecision(Action.FINISH, status, f"{what} Exit code {last.exit_code} is final for this job.")
    used = sum(1 for attempt in round_attempts if attempt.outcome is outcome)
    budget = _budget(policy, outcome)
    if not retryable or _exit_code_not_listed(policy, last):
        return _give_up(policy, status, f"{what} Another try cannot help.")
    if used >= budget:
        return _give_up(policy, status, f"{what} {_used_up(budget, outcome)}")
    delay = 0.0 if outcome is Outcome.AGENT_LOST else _backoff(policy, used)
    return RetryDecision(Action.RETRY, status, f"{what} Try {used + 1} of {budget} follows.", delay)


_FOR: Final = {
    Outcome.FAILED: "failing commands",
    Outcome.AGENT_LOST: "lost agents",
    Outcome.CHECKOUT_FAILED: "checkouts",
    Outcome.TIMED_OUT: "timeouts",
    Outcome.AGENT_ERROR: "agent errors",
}


def _used_up(budget: int, outcome: Outcome) -> str:
    tries = "The only attempt" if budget == 1 else f"All {budget} attempts"
    return f"{tries} for {_FOR[outcome]} {'is' if budget == 1 else 'are'} used up."


def _budget(policy: RetryPolicy, outcome: Outcome) -> int:
    return {
        Outcome.FAILED: policy.max_attempts,
        Outcome.AGENT_LOST: policy.lost_agent_attempts,
        Outcome.AGENT_ERROR: policy.lost_agent_attempts,
        Outcome.CHECKOUT_FAILED: policy.checkout_attempts,
        Outcome.TIMED_OUT: policy.timeout_attempts,
    }.get(outcome, 1)


def _backoff(policy: RetryPolicy, used: int) -> float:
    return min(policy.initial_interval_seconds * policy.backoff ** (used - 1), policy.max_interval_seconds)


def _exit_code_not_listed(policy: RetryPolicy, last: Attempt) -> bool:
    listed = policy.retryable_exit_codes
    return last.outcome is Outcome.FAILED and bool(listed) and last.exit_code not in listed


def _give_up(policy: RetryPolicy, status: JobStatus, reason: str) -> RetryDecision:
    return RetryDecision(Action.PARK if policy.park else Action.FINISH, status, reason)


def _describe(attempt: Attempt) -> str:
    if attempt.exit_code is not None:
        return f"The command ended with exit code {attempt.exit_code}."
    return f"The attempt ended as {attempt.outcome}."
