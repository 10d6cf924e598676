"""The lock of one service's environment: who holds it, who waits, what is live, what holds or freezes it.

``EnvironmentWorkflow`` (id ``env-<service>-<environment>``) owns it. Deployments talk to it by signals, which an
activity sends with start, and are answered by signals; people by updates or signals. Times are epoch milliseconds.
"""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.base import Tolerant
from workflows.contracts.deployments.live_again import LiveAgain
from workflows.contracts.deployments.rules import FreezeWindow, SupersedePolicy
from workflows.contracts.fields import Millis, NotBlank, Prose, Text
from workflows.contracts.who import Named

MAX_HISTORY: Final = 50
"""How many versions that were live an environment remembers: the targets of a rollback."""
MAX_AHEAD: Final = 8
"""Of how many that came before it a deployment is told with its turn."""
Why = Annotated[Prose, StringConstraints(min_length=1, max_length=1024), NotBlank]
PerhapsWhy = Annotated[Prose, StringConstraints(max_length=1024)]


class Order(StrEnum):
    """How one commit stands to another."""

    SAME = "same"
    NEWER = "newer"  # the other one is its ancestor
    OLDER = "older"  # it is an ancestor of the other one
    DIVERGED = "diverged"  # neither: a hotfix branch
    UNKNOWN = "unknown"  # nobody could tell


class Ahead(Tolerant):
    """A version that is live, being rolled out, or in line before another one. ``place`` says which, in words."""

    deployment_id: str
    version: str
    git_commit_sha: str
    place: str


class Ticket(Tolerant):
    """A deployment's place in the line of an environment. ``ready``: it has its approvals and could go.

    ``order``: how its commit stands to those of others that were there when it was asked, by deployment; None from a
    version that asked nobody. ``override_freeze``: somebody said why it must not wait for a freeze. ``waits_for`` (the
    reason it was told) and ``frozen`` (it had to wait for a freeze) are set by the environment; what a ``join`` says of
    them is ignored.
    """

    deployment_id: str
    workflow_id: str
    version: str
    git_commit_sha: str
    arrived_at: Millis
    ready: bool = False
    final: bool = Field(default=False, description="In this environment the version becomes live.")
    supersede: SupersedePolicy = SupersedePolicy.NONE
    order: dict[str, Order] | None = Field(default=None, exclude_if=lambda order: order is None)
    freeze_windows: list[FreezeWindow] = Field(default_factory=list[FreezeWindow])
    allow_windows: list[FreezeWindow] = Field(
        default_factory=list[FreezeWindow], exclude_if=lambda windows: not windows
    )
    override_freeze: bool = False
    waits_for: str | None = None
    frozen: bool = False


class LiveVersion(Tolerant):
    """A version that is or was live (or, in an environment before the last one, deployed).

    ``before``: the deployment that was live when this one first went live, empty for the first one; None where that was
    not kept yet.
    ``final``: it is live here, so that it holds the environment. ``again``, of what is live: how it came to be that
    once more.
    """

    version: str
    deployment_id: str
    workflow_id: str
    git_commit_sha: str
    since: Millis
    before: str | None = None
    final: bool = Field(default=False, exclude_if=lambda final: not final)
    again: LiveAgain | None = Field(default=None, exclude_if=lambda again: again is None)


class Holder(Tolerant):
    """Who holds the environment. ``live``: its rollout is over; it keeps the lock so that it can roll back at once, and
    yields it to the next one. ``over``: the live deployment that yielded to it, whose turn comes back when this one is
    gone. ``frozen``: it had to wait for a freeze. ``arrived_at``: when it joined the line; 0 for one of before that was
    kept. ``restarted``: its workflow had gone and was started again, which is tried once a turn.
    """

    deployment_id: str
    workflow_id: str
    version: str
    fence: int
    since: Millis
    live: bool = False
    yielding: bool = False
    git_commit_sha: str = ""
    over: str | None = None
    frozen: bool = False
    arrived_at: Millis = Field(default=0, exclude_if=lambda at: at == 0)
    restarted: bool = Field(default=False, exclude_if=lambda restarted: not restarted)


class Hold(Tolerant):
    """Nothing is rolled out until somebody releases it."""

    by: str
    reason: str
    at: Millis


class Freeze(Tolerant):
    """An ad hoc freeze, from ``starts_at`` to ``ends_at``."""

    freeze_id: str
    name: str
    starts_at: Millis
    ends_at: Millis
    by: str
    reason: str = ""


class RollbackReadiness(Tolerant):
    """Signal ``rollback_readiness``, kept in the record: whether what is live (``live``, a deployment) could be rolled
    back now, to what, and why (not). ``ready`` None: that cannot be told.
    """

    live: str
    target_version: str | None = None
    ready: bool | None = None
    why: str = ""
    at: Millis = 0

    def not_ready(self, why: str) -> "RollbackReadiness":
        """It could not."""
        return self.model_copy(update={"ready": False, "why": why})

    def same(self, other: "RollbackReadiness") -> bool:
        """Whether the other one says nothing new."""
        return self.model_copy(update={"at": other.at}) == other


class EnvironmentState(Tolerant):
    """All that ``EnvironmentWorkflow`` knows; also its record. ``fence``: the last number given out; it only grows."""

    service_name: str
    environment: str
    holder: Holder | None = None
    queue: list[Ticket] = Field(default_factory=list[Ticket])
    live: LiveVersion | None = None
    history: list[LiveVersion] = Field(default_factory=list[LiveVersion], description="Newest first, live included.")
    rollback: RollbackReadiness | None = Field(default=None, exclude_if=lambda rollback: rollback is None)
    hold: Hold | None = None
    freezes: list[Freeze] = Field(default_factory=list[Freeze])
    frozen_until: Millis | None = None
    frozen_by: str | None = None
    fence: int = 0
    updated_at: Millis = 0
    sequence: int = 0


class EnvironmentInput(Tolerant):
    """The argument of ``EnvironmentWorkflow``. ``resume`` is set only by continue-as-new."""

    service_name: str
    environment: str
    resume: EnvironmentState | None = None


class EnvironmentWrite(Tolerant):
    """One ordered write of an environment's record, with the events that belong to it."""

    state: EnvironmentState
    events: list[AuditEvent] = Field(default_factory=list[AuditEvent])


class Leaving(StrEnum):
    """Why a deployment gives the environment back (or leaves the line)."""

    DEPLOYED = "deployed"  # an environment before the last one: the next may come
    ENDED = "ended"  # failed, rejected, expired, superseded or cancelled; the environment is as it was
    ROLLED_BACK = "rolled_back"  # another version is live again: ``live``; sets a hold
    BROKEN = "broken"  # a rollback failed: nobody knows what runs there; sets a hold


# --- signals to EnvironmentWorkflow, named like the classes in snake case ---------------------------------------------


class Join(Tolerant):
    """Signal ``join``: take a place in line. The same deployment again keeps its place (and updates the ticket)."""

    ticket: Ticket


class Leave(Tolerant):
    """Signal ``leave``: out of the line, or the lock back. From a deployment that is neither, it changes nothing."""

    deployment_id: str
    how: Leaving
    live: LiveVersion | None = None
    hold: Hold | None = None


class BecameLive(Tolerant):
    """Signal ``became_live``: the holder's version is live; the one before is told that it is superseded."""

    deployment_id: str


class Yielded(Tolerant):
    """Signal ``yielded``: the live holder gives the lock to the next one. ``fence`` is the number of the turn that it
    gives away, so that an answer that comes late or twice gives nothing else away.
    """

    deployment_id: str
    fence: int | None = None


class RestoreLive(Tolerant):
    """Signal ``restore_live``: the workflow of what is live here is gone, or its record is no longer live. ``why`` in
    words. About anything else, it changes nothing.
    """

    deployment_id: str
    why: str = ""


EnvironmentSignal = Join | Leave | BecameLive | Yielded | RestoreLive | RollbackReadiness


class SignalEnvironment(Tolerant):
    """What the activity ``signal_environment`` sends, starting the environment's workflow when there is none."""

    service_name: str
    environment: str
    join: Join | None = None
    leave: Leave | None = None
    became_live: BecameLive | None = None
    yielded: Yielded | None = None
    restore_live: RestoreLive | None = None
    rollback_readiness: RollbackReadiness | None = None


# --- signals to DeploymentWorkflow ------------------------------------------------------------------------------------


class Granted(Tolerant):
    """Signal ``granted``: the environment is yours. ``previous`` is what is live there now.

    ``ahead``: who came before it and still waits. ``frozen``: it had to wait for a freeze to end, so what was checked
    before is stale.
    """

    environment: str
    fence: int
    previous: LiveVersion | None = None
    history: list[LiveVersion] = Field(default_factory=list[LiveVersion])
    ahead: list[Ahead] = Field(default_factory=list[Ahead], exclude_if=lambda ahead: not ahead)
    frozen: bool = False


class Waiting(Tolerant):
    """Signal ``waiting``: why it is not its turn, in words. Sent when that changes."""

    environment: str
    reason: str


class YieldRequested(Tolerant):
    """Signal ``yield_requested``: another version has its turn; answer ``yielded`` unless a rollback is under way."""

    environment: str
    to_deployment_id: str
    to_version: str


class Superseded(Tolerant):
    """Signal ``superseded``: another version took its place."""

    environment: str
    by_deployment_id: str
    by_version: str


class Retired(Tolerant):
    """Signal ``retired``: somebody says that this live version is gone."""

    environment: str
    by: str
    reason: str


class Reinstated(Tolerant):
    """Signal ``reinstated``: the other one is gone again; this live version holds the environment, with this number.

    ``history``: what was live there, as of a grant; empty from a version that did not tell. ``again``: a rollback
    brought it back. ``yielded_to``: somebody else still holds the environment, in words as of a yield.
    """

    environment: str
    fence: int
    history: list[LiveVersion] = Field(default_factory=list[LiveVersion])
    again: LiveAgain | None = None
    yielded_to: str | None = None


class StopsChanged(Tolerant):
    """Signal ``stops_changed``: a freeze or a hold began or ended; who waits for one looks again."""

    environment: str


# --- what people may ask of an environment: updates and signals of the same name --------------------------------------


class HoldCommand(Named):
    """``hold``: let nothing be rolled out until ``release``. Type ``{"by": "ann", "reason": "…"}``."""

    reason: Why


class ReleaseCommand(Named):
    """``release``: lift the hold."""

    reason: PerhapsWhy = ""


class RetireCommand(Named):
    """``retire``: what was live here is gone, and nothing takes its place."""

    reason: Why


class FreezeCommand(Named):
    """``freeze``: from ``starts_at`` (default now) to ``ends_at``. The same ``freeze_id`` again replaces it."""

    freeze_id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$")]
    name: Annotated[Text, StringConstraints(min_length=1, max_length=256)]
    starts_at: Millis | None = None
    ends_at: Millis
    reason: PerhapsWhy = ""


class UnfreezeCommand(Named):
    """``unfreeze``: end an ad hoc freeze."""

    freeze_id: str
    reason: PerhapsWhy = ""


class FreezeQuestion(Tolerant):
    """Asked of the activity ``check_freeze``: is it frozen at ``at``, and until when?"""

    at: Millis
    windows: list[FreezeWindow]
    allow_windows: list[FreezeWindow] = Field(
        default_factory=list[FreezeWindow], exclude_if=lambda windows: not windows
    )


class FreezeAnswer(Tolerant):
    """``until`` (ms) and ``name`` of the recurring freeze that is on; None when there is none.

    ``next_at`` is when the next one begins, None within the coming year. ``closed``: it is no freeze, but outside of
    the windows in which alone something may begin.
    """

    until: Millis | None = None
    name: str | None = None
    next_at: Millis | None = None
    closed: bool = Field(default=False, exclude_if=lambda closed: not closed)
