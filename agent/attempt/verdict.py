"""How an attempt ended, in the words of the contract: outcome, cause for programs, sentence for people. All pure."""

import errno
import logging
import secrets as randomness
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from agent.artifacts.inputs import InputsFailed
from agent.artifacts.upload import UploadFailed
from agent.git.checkout import CheckoutError
from agent.hooks.running import CAUSE as HOOK_FAILED
from agent.hooks.running import HookRefused
from agent.safety.approvals import ApprovalMissing
from agent.safety.fences import Fenced
from agent.safety.specifications import SpecificationUnverified
from agent.secrets import SecretError
from agent.steps.process import EndReason, ProcessEnd, SpawnError
from workflows.contracts.attempts import AttemptInput
from workflows.contracts.fields import in_brief
from workflows.contracts.jobs import Step
from workflows.contracts.statuses import Outcome

_REFUSALS: Final[Mapping[type[Exception], str]] = {
    ApprovalMissing: "approval_unverified",
    SpecificationUnverified: "specification_unverified",
    HookRefused: HOOK_FAILED,
    Fenced: "fenced",
}
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

logger = logging.getLogger(__name__)


class Interruption(StrEnum):
    """Why an attempt is ended early."""

    CANCELLED = "cancelled"  # somebody asked for it
    JOB_TIMEOUT = "job_timeout"  # it ran longer than the job allows
    LEASE_LOST = "lease_lost"  # the control plane has given the attempt up
    FENCED = "fenced"  # Temporal did not answer, or the agent stood still, and the lease is about to end
    AGENT_STOPPED = "agent_stopped"  # the agent was told to stop without waiting


GONE: Final = frozenset({Interruption.LEASE_LOST, Interruption.FENCED})
"""The attempt is not ours any more: whatever its command says, it may be the guardian who ended it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The part of an ``AttemptResult`` that says how it ended."""

    outcome: Outcome
    cause: str | None = None
    message: str | None = None
    exit_code: int | None = None
    retryable: bool = True


def interrupted(why: Interruption, attempt: AttemptInput, *, exit_code: int | None = None) -> Verdict:
    """The verdict for an attempt that was ended early."""
    match why:
        case Interruption.CANCELLED:
            return Verdict(Outcome.CANCELLED, "cancelled", "The attempt was cancelled.")
        case Interruption.JOB_TIMEOUT:
            message = f"The attempt ran longer than the job's timeout of {attempt.timeout_seconds} s and was ended."
            return Verdict(Outcome.TIMED_OUT, "job_timeout", message, exit_code)
        case Interruption.LEASE_LOST:
            message = "The control plane has given this attempt up, so the agent ended it."
            return Verdict(Outcome.AGENT_LOST, "lease_lost", message)
        case Interruption.FENCED:
            message = "The agent could not renew the attempt's lease in time, so the attempt was ended just before it."
            return Verdict(Outcome.AGENT_LOST, "lease_lost", message)
        case Interruption.AGENT_STOPPED:
            message = "The agent was told to stop without waiting for its jobs."
            return Verdict(Outcome.AGENT_LOST, "agent_stopped", message)


def of_step(step: Step, end: ProcessEnd, why: Interruption | None, attempt: AttemptInput) -> Verdict:
    """The verdict for a step that ran; ``exit_code`` is its command's."""
    if why is not None and (end.reason is EndReason.STOPPED or why in GONE):
        return interrupted(why, attempt, exit_code=end.exit_code)
    if end.reason is EndReason.TIMED_OUT:
        message = f"Step {in_brief(step.name)!r} ran longer than its timeout of {step.timeout_seconds} s and was ended."
        return Verdict(Outcome.TIMED_OUT, "step_timeout", message, end.exit_code)
    if end.signal is not None:
        message = f"Step {in_brief(step.name)!r} was ended by {_signal_name(end.signal)} (exit code {end.exit_code})."
        return Verdict(Outcome.FAILED, "signal", message, end.exit_code)
    if end.exit_code != 0:
        message = f"Step {in_brief(step.name)!r} ended with exit code {end.exit_code}."
        return Verdict(Outcome.FAILED, "exit_code", message, end.exit_code)
    return Verdict(Outcome.SUCCEEDED, exit_code=0)


def folder_gone(folder: Path, exit_code: int | None) -> Verdict:
    """The verdict for a step that failed when its attempt's folder had been removed: not what its command says."""
    message = (
        f"The attempt's folder {folder} was removed while it ran: look for what removes files on the agent's host."
    )
    return Verdict(Outcome.AGENT_ERROR, "agent_files", message, exit_code)


def of_exception(error: Exception) -> Verdict:
    """The verdict for what kept the agent from running the attempt. An unknown error is logged with an id to quote."""
    match error:
        case SecretError():
            return Verdict(Outcome.AGENT_ERROR, error.cause, str(error), retryable=error.retryable)
        case ApprovalMissing() | SpecificationUnverified() | HookRefused() | Fenced():
            return Verdict(Outcome.AGENT_ERROR, _REFUSALS[type(error)], str(error), retryable=False)
        case CheckoutError(cause="disk_full"):
            return Verdict(Outcome.AGENT_ERROR, error.cause, error.message, retryable=error.retryable)
        case CheckoutError():
            return Verdict(Outcome.CHECKOUT_FAILED, error.cause, error.message, retryable=error.retryable)
        case SpawnError():
            return Verdict(Outcome.AGENT_ERROR, "not_started", str(error), error.exit_code)
        case InputsFailed():
            return Verdict(Outcome.CHECKOUT_FAILED, error.cause, str(error), retryable=error.retryable)
        case UploadFailed(cause="artifacts_missing"):  # the job's own word for a failure
            return Verdict(Outcome.FAILED, error.cause, str(error), retryable=error.retryable)
        case UploadFailed():
            return Verdict(Outcome.AGENT_ERROR, error.cause, str(error), 0, retryable=error.retryable)
        case OSError() if error.errno in _FULL:
            message = "The agent's disk is full: free space in its directory, or move HYBRIDCI_AGENT_DIR."
            return Verdict(Outcome.AGENT_ERROR, "disk_full", message)
        case OSError():
            message = f"The agent could not use its own files ({error}): look at its host and its log."
            return Verdict(Outcome.AGENT_ERROR, "agent_files", message)
        case _:
            quote = randomness.token_hex(4)
            logger.error("An attempt failed in the agent itself, error %s", quote, exc_info=error)
            message = f"The agent failed; its log says why under error {quote}."
            return Verdict(Outcome.AGENT_ERROR, "agent_failure", message)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
