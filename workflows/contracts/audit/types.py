"""Everything that can happen, one line each. What an event of a type says besides is in ``details``.

A type is written for years: its word never changes, and none goes. Two words are older than the rule
``<subject>.<past participle>``, with refusals ending in ``_refused``: ``environment.refused`` and the plural of
``jobs.…``, which concern many jobs at once.
"""

from enum import StrEnum


class EventType(StrEnum):
    """What can happen. ``means``: in words; ``refused``: it was asked for, and nothing was done."""

    means: str
    refused: bool

    def __new__(cls, value: str, means: str = "", refused: bool = False) -> "EventType":
        """A member; only the word is its value."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.means = means
        member.refused = refused
        return member

    @property
    def subject(self) -> str:
        """What it happens to: the word before the dot."""
        return self.value.partition(".")[0]

    @property
    def word(self) -> str:
        """The word behind the dot; of a deployment that fails, it is the ``cause`` too."""
        return self.value.partition(".")[2]

    JOB_SUBMITTED = "job.submitted", "A job was asked for."
    JOB_AMENDED = "job.amended", "Its place in line, labels or tags were changed."
    JOB_CANCELLED = "job.cancelled", "Somebody stops it."
    JOB_COMPLETED = "job.completed", "Its result was told from outside."
    JOB_EDITED = "job.edited", "A dead letter was changed."
    JOB_REDRIVEN = "job.redriven", "A dead letter runs again."
    JOB_DISCARDED = "job.discarded", "A dead letter was given up."
    JOB_SUCCEEDED = "job.succeeded", "It ended well."
    JOB_FAILED = "job.failed", "It ended otherwise: it failed, took too long, or could not run."
    JOB_STOPPED = "job.stopped", "It has ended, because somebody stopped it."
    JOB_PARKED = "job.parked", "It is a dead letter: somebody must say how it goes on."
    JOBS_BULK_REDRIVEN = "jobs.bulk_redriven", "Many dead letters are to run again."
    JOBS_RECONCILED = "jobs.reconciled", "Somebody had open records compared with their workflows."

    ATTEMPT_STARTED = "attempt.started", "An agent has it. One that ends within a moment is told of by its end only."
    ATTEMPT_ENDED = "attempt.ended", "It has ended, and the job goes on with another one."

    DEPLOYMENT_CREATED = "deployment.created", "A deployment was asked for."
    DEPLOYMENT_APPROVED = "deployment.approved", "Somebody said yes to it in an environment."
    DEPLOYMENT_REJECTED = "deployment.rejected", "Somebody said no to it; it has failed."
    DEPLOYMENT_APPROVAL_EXPIRED = "deployment.approval_expired", "Nobody approved it in time."
    DEPLOYMENT_COMMIT_MISSED = "deployment.commit_missed", "Its commit is not on the service's ref: it waits."
    DEPLOYMENT_SOURCE_FAILED = "deployment.source_failed", "The job that looks for its commit on the ref failed."
    DEPLOYMENT_DEFINITION_FAILED = "deployment.definition_failed", "The job that reads its definition failed."
    DEPLOYMENT_DEFINITION_INVALID = "deployment.definition_invalid", "The definition in its commit is not valid."
    DEPLOYMENT_BUILD_FAILED = "deployment.build_failed", "Its build failed."
    DEPLOYMENT_TEST_FAILED = "deployment.test_failed", "Its tests failed."
    DEPLOYMENT_DEPLOY_FAILED = "deployment.deploy_failed", "Its roll-out failed."
    DEPLOYMENT_HEALTH_CHECK_FAILED = "deployment.health_check_failed", "It is not well where it was rolled out."
    DEPLOYMENT_VERIFICATION_FAILED = "deployment.verification_failed", "Its verification failed."
    DEPLOYMENT_JOB_LOST = "deployment.job_lost", "One of its jobs has no result."
    DEPLOYMENT_STAGED = "deployment.staged", "It is in an environment before the last one."
    DEPLOYMENT_LIVE = "deployment.live", "It is in the last environment."
    DEPLOYMENT_PAUSED = "deployment.paused", "A person must say how it goes on: verification could not tell, or a step."
    DEPLOYMENT_HALTED = "deployment.halted", "A freeze or hold stops its rollout before the next step."
    DEPLOYMENT_FREEZE_PASSED = "deployment.freeze_passed", "A freeze began; its environment lets rollouts finish."
    DEPLOYMENT_PROMOTED = "deployment.promoted", "Somebody lets its rollout go on now, or to its end."
    DEPLOYMENT_STEP_SKIPPED = "deployment.step_skipped", "Somebody leaves a step of its rollout out."
    DEPLOYMENT_ABORTED = "deployment.aborted", "Somebody stops its rollout."
    DEPLOYMENT_RESUMED = "deployment.resumed", "Somebody lets it go on."
    DEPLOYMENT_FREEZE_OVERRIDDEN = "deployment.freeze_overridden", "It waits for no freeze in the environment to come."
    DEPLOYMENT_STAGE_RECORDED = "deployment.stage_recorded", "Another CI told what it did in an environment."
    DEPLOYMENT_METRICS_BREACHED = "deployment.metrics_breached", "Its metrics exceed a limit."
    DEPLOYMENT_NEEDS_DECISION = "deployment.needs_decision", "A person must say whether it is rolled back."
    DEPLOYMENT_CANCEL_REQUESTED = "deployment.cancel_requested", "Somebody wants it ended."
    DEPLOYMENT_CANCELLED = "deployment.cancelled", "It was ended because somebody wanted it."
    DEPLOYMENT_ROLLBACK_REQUESTED = "deployment.rollback_requested", "Somebody wants another version back."
    DEPLOYMENT_ROLLED_BACK = "deployment.rolled_back", "Another version is live again."
    DEPLOYMENT_ROLLBACK_FAILED = "deployment.rollback_failed", "Nobody knows what runs there: look at it now."
    DEPLOYMENT_GIVEN_UP = "deployment.given_up", "Its failed rollback is not tried again."
    DEPLOYMENT_BANNED = "deployment.banned", "Its version or commit is banned; it has failed."
    DEPLOYMENT_OUTDATED = "deployment.outdated", "Its commit is older than what is there or ahead: it was superseded."
    DEPLOYMENT_ORDER_DOUBTED = "deployment.order_doubted", "Its commit is no successor of what is there: see why."
    DEPLOYMENT_OLDER_ALLOWED = "deployment.older_allowed", "Somebody deploys a commit that may be older, on purpose."
    DEPLOYMENT_SUPERSEDED = "deployment.superseded", "Another version took its place."
    DEPLOYMENT_RETIRED = "deployment.retired", "It is live no more: somebody says that it is gone."
    DEPLOYMENT_REINSTATED = "deployment.reinstated", "It is live and holds its environment again."
    DEPLOYMENT_REOPENED = "deployment.reopened", "It is live once more, and its workflow goes on."
    DEPLOYMENT_WORKFLOW_TERMINATED = "deployment.workflow_terminated", "Its workflow was ended in Temporal."
    DEPLOYMENT_REPAIRED = "deployment.repaired", "Its workflow could not go on and was ended in a repair."
    DEPLOYMENT_APPROVAL_REFUSED = "deployment.approval_refused", "An approval by signal counts for nothing.", True
    DEPLOYMENT_REJECTION_REFUSED = "deployment.rejection_refused", "A rejection by signal counts for nothing.", True
    DEPLOYMENT_ROLLBACK_REFUSED = "deployment.rollback_refused", "A rollback asked for by signal is not made.", True
    DEPLOYMENT_RESUME_REFUSED = "deployment.resume_refused", "It does not go on for a signal.", True
    DEPLOYMENT_PROMOTION_REFUSED = "deployment.promotion_refused", "Its rollout does not go on for a signal.", True
    DEPLOYMENT_SKIP_REFUSED = "deployment.skip_refused", "No step is left out for a signal.", True
    DEPLOYMENT_ABORT_REFUSED = "deployment.abort_refused", "Its rollout is not stopped for a signal.", True
    DEPLOYMENT_CANCEL_REFUSED = "deployment.cancel_refused", "It is not ended for a signal.", True
    DEPLOYMENT_FREEZE_OVERRIDE_REFUSED = "deployment.freeze_override_refused", "It waits in spite of a signal.", True
    DEPLOYMENT_STAGE_REFUSED = "deployment.stage_refused", "What a signal told of an environment was not taken.", True

    METRIC_RECORDED = "metric.recorded", "A monitoring system told how a version does: the first sample of a minute."

    ENVIRONMENT_GRANTED = "environment.granted", "A deployment has its turn."
    ENVIRONMENT_DEPLOYED = "environment.deployed", "A version is deployed here, and left the environment free."
    ENVIRONMENT_LIVE = "environment.live", "A version is live here."
    ENVIRONMENT_FREED = "environment.freed", "A deployment gave the environment back."
    ENVIRONMENT_YIELD_REQUESTED = "environment.yield_requested", "The live version was asked to hand over."
    ENVIRONMENT_REINSTATED = "environment.reinstated", "The live version holds the environment again."
    ENVIRONMENT_ROLLED_BACK = "environment.rolled_back", "Another version is live here again."
    ENVIRONMENT_BROKEN = "environment.broken", "A failed rollback was left behind."
    ENVIRONMENT_SUPERSEDED = "environment.superseded", "A version left the line because a newer one came."
    ENVIRONMENT_DROPPED = "environment.dropped", "A deployment lost its place, because its workflow has closed."
    ENVIRONMENT_LOCK_FREED = "environment.lock_freed", "The holder's workflow was closed from outside."
    ENVIRONMENT_RESTORED = "environment.restored", "A new workflow goes on from the record."
    ENVIRONMENT_HELD = "environment.held", "Nothing is rolled out here any more."
    ENVIRONMENT_RELEASED = "environment.released", "The hold was lifted."
    ENVIRONMENT_FROZEN = "environment.frozen", "A freeze was set."
    ENVIRONMENT_UNFROZEN = "environment.unfrozen", "A freeze was lifted before its time."
    ENVIRONMENT_FREEZE_ENDED = "environment.freeze_ended", "A freeze is over."
    ENVIRONMENT_RETIRED = "environment.retired", "What was live here is gone, as somebody says."
    ENVIRONMENT_REFUSED = "environment.refused", "What a signal wanted was not done.", True

    LINE_FROZEN = "line.frozen", "A freeze of many services was set."
    LINE_HELD = "line.held", "Nothing of many services is rolled out any more."
    LINE_UNFROZEN = "line.unfrozen", "A freeze of many services was lifted before its time."
    LINE_RELEASED = "line.released", "A hold of many services was lifted."

    SERVICE_APPLIED = "service.applied", "A service has a new definition."
    SERVICE_POLICY_CHANGED = "service.policy_changed", "A service has another policy."
    SERVICE_POLICY_CHANGE_REQUESTED = "service.policy_change_requested", "Another policy waits for a second person."
    SERVICE_POLICY_CHANGE_REJECTED = "service.policy_change_rejected", "Somebody said no to another policy."
    SERVICE_POLICY_CHANGE_DROPPED = "service.policy_change_dropped", "A newer change of the service took its place."
    SERVICE_VERSION_BANNED = "service.version_banned", "Nothing but a person brings this version or commit back."
    SERVICE_VERSION_UNBANNED = "service.version_unbanned", "A ban was lifted."

    SERVICE_ARCHIVED = "service.archived", "Nothing of a service is started any more."
    SERVICE_UNARCHIVED = "service.unarchived", "An archived service is in use again."
    SERVICE_DELETED = "service.deleted", "A service is not there any more; its deployments and its trail stay."

    AGENT_REGISTERED = "agent.registered", "An agent is new, or came back otherwise than it was."
    AGENT_RELABELLED = "agent.relabelled", "It has other labels."
    AGENT_UPDATED = "agent.updated", "It has another version, or is elsewhere."
    AGENT_DRAINED = "agent.drained", "It takes nothing new and ends."
    AGENT_PAUSED = "agent.paused", "It takes nothing new."
    AGENT_RESUMED = "agent.resumed", "It takes jobs again."
    AGENT_DEREGISTERED = "agent.deregistered", "It has left."
    POOL_SCALED = "pool.scaled", "A pool has other bounds."
    TASK_ASKED = "task.asked", "A pool's agents were asked something."
    POOL_KEYS_PINNED = "pool.keys_pinned", "Values for a pool are sealed to other keys."

    ACCESS_KEY_ISSUED = "access.key_issued", "A key was made."
    ACCESS_KEY_CLAIMED = "access.key_claimed", "A key of before keys had owners has one."
    ACCESS_KEY_ROTATED = "access.key_rotated", "A key has a successor."
    ACCESS_KEY_REVOKED = "access.key_revoked", "A key was revoked."
    ACCESS_ADDRESS_ADDED = "access.address_added", "A key was used from an address for the first time."
    ACCESS_AGENT_ISSUED = "access.agent_issued", "A registered agent has its own secret."
    ACCESS_AGENT_REVOKED = "access.agent_revoked", "An agent's secret was revoked."
    SESSION_OPENED = "session.opened", "Somebody signed in."
    SESSION_CLOSED = "session.closed", "A session was ended."
    SESSION_REFUSED = "session.refused", "Somebody was not let in.", True
    TOKEN_EXCHANGED = "token.exchanged", "A workload has a short-lived token."
    TOKEN_CLOSED = "token.closed", "Such a token was ended."
    TOKEN_REFUSED = "token.refused", "A workload was not let in.", True

    WEBHOOK_RECEIVED = "webhook.received", "Another tool told something, and something was done."
    WEBHOOK_IGNORED = "webhook.ignored", "Another tool told something that no rule is for."
    WEBHOOK_REFUSED = "webhook.refused", "What another tool told was not genuine, or nothing of it was done.", True
    WEBHOOK_REPLAYED = "webhook.replayed", "Somebody had done once more what another tool told."

    CONFIG_INSTALLED = "config.installed", "The access policy of this installation is known for the first time."
    CONFIG_UPDATED = "config.updated", "The access policy of this installation is another one."

    STORAGE_SWEPT = "storage.swept", "What was older than the policy says was removed."

    WORKFLOW_STUCK = "workflow.stuck", "A workflow cannot go on."
    WORKFLOW_RECOVERED = "workflow.recovered", "It goes on again, or has ended."
    WORKFLOW_REPAIRED = "workflow.repaired", "It was repaired."


_REFUSALS = frozenset(each.value for each in EventType if each.refused)


def is_refusal(action: object) -> bool:
    """Whether this word says that nothing was done; False for a word that this version does not know."""
    return action in _REFUSALS
