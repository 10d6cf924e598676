"""All that a deployment's workflow knows: its record, how far it is, what interrupts it. Frozen: a change is a copy.

Pure. ``resume`` is what one run hands to the next. Deliberately not here: how the record changes (``record``), writing
it (``journal``).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Concatenate, ParamSpec, Unpack

from workflows.bans import under
from workflows.contracts.deployments.commands import DeploymentInput, DeploymentResume
from workflows.contracts.deployments.deployment import Deployment, Rollback
from workflows.contracts.deployments.environments import LiveVersion
from workflows.contracts.deployments.reopening import Reopened
from workflows.contracts.deployments.services import Environment
from workflows.contracts.jobs import Fence
from workflows.deployment import record
from workflows.deployment.job_specs import Turn
from workflows.deployment.live.targets import WayBack, choose
from workflows.deployment.progress import Advance, Interrupt, Phase, Progress

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class State:
    """``interrupt`` ends the present phase early. It is never handed to another run: a run with one goes on itself."""

    deployment: Deployment
    progress: Progress
    interrupt: Interrupt | None = None

    @staticmethod
    def at_start(start: DeploymentInput, now: int) -> "State":
        """The state with which a run begins: a new deployment's, or what the run before handed over. ``now`` in ms."""
        if start.resume is None:
            return State(record.new_deployment(start, now), Progress())
        return State(start.resume.deployment, Progress.model_validate_json(start.resume.progress))

    @staticmethod
    def live_again(given: Reopened) -> "State":
        """Where a version stands that is live once more: as if its rollout had just ended."""
        deployment = given.deployment
        last = deployment.definition.environments[-1]
        progress = Progress(
            phase=Phase.LIVE,
            stage=len(deployment.definition.environments) - 1,
            step=len(last.rollout.percentages),
            in_line=True,
            touched=True,
            granted=given.granted,
            yielded_to=given.yielded_to,
        )
        return State(deployment, progress)

    def resume(self) -> DeploymentResume:
        """What the next run needs. Older versions of this code read it too."""
        return DeploymentResume(deployment=self.deployment, progress=self.progress.model_dump_json())

    # --- where it is ----------------------------------------------------------------------------------------------

    @property
    def identity(self) -> str:
        """The deployment's id."""
        return self.deployment.deployment_id

    @property
    def environment(self) -> Environment:
        """The one that it is in, or comes to next."""
        return self.deployment.definition.environments[self.progress.stage]

    @property
    def final(self) -> bool:
        """In this environment the version becomes live."""
        return self.progress.stage == len(self.deployment.definition.environments) - 1

    @property
    def turn(self) -> Turn:
        """Its turn in this environment."""
        grant, name = self.progress.granted, self.environment.name
        fence = Fence(name=f"{self.deployment.service_name}/{name}", number=grant.fence if grant else 0)
        return Turn(fence, grant.previous if grant else None)

    @property
    def approved(self) -> bool:
        """Nobody's approval is missing for this environment: that was decided, not only counted."""
        stage = self.deployment.stage(self.environment.name)
        return self.environment.approval is None or (stage is not None and stage.approved_at is not None)

    @property
    def others(self) -> list[LiveVersion]:
        """What else was ever live there, newest first, each deployment once: what a person can go to."""
        grant = self.progress.granted
        if grant is None:
            return []
        first = [] if grant.previous is None else [grant.previous]
        known = {each.deployment_id: each for each in [*first, *grant.history]}
        return [each for each in known.values() if each.deployment_id != self.identity]

    @property
    def former(self) -> list[LiveVersion]:
        """Those of them that it could go back to by itself; none where nothing was live before it."""
        grant = self.progress.granted
        return self.others if grant is not None and grant.previous is not None else []

    @property
    def last_good(self) -> LiveVersion | None:
        """What to go back to when nobody names a version: what was live before it, or the last before that which nobody
        has banned.
        """
        chosen = self.choice()
        return None if chosen is None else chosen.target

    def choice(
        self, to_version: str | None = None, to_commit: str | None = None, *, heeding_bans: bool = True
    ) -> WayBack | None:
        """What to go back to: what was live before and is not banned, or a named one that was live."""
        grant = self.progress.granted
        if grant is None:
            return None
        bans = self.progress.bans if heeding_bans else []
        return choose(
            grant.history,
            self.identity,
            grant.previous,
            to_version=to_version,
            to_commit=to_commit,
            banned={live.deployment_id for live in self.others if under(bans, live)},
        )

    def target(self, to_version: str | None = None, to_commit: str | None = None) -> LiveVersion | None:
        """The version to go back to, banned or not: the one before, or a named one that was live."""
        chosen = self.choice(to_version, to_commit, heeding_bans=False)
        return None if chosen is None else chosen.target

    def target_of(self, rollback: Rollback | None) -> LiveVersion | None:
        """That of a rollback which has begun."""
        grant = self.progress.granted
        if grant is None or rollback is None:
            return None
        known = [grant.previous, *grant.history] if grant.previous is not None else grant.history
        found = (live for live in known if live.deployment_id == rollback.target_deployment_id)
        return next(found, None) or self.target(rollback.target_version)

    # --- the state after a change ---------------------------------------------------------------------------------

    def changed(
        self, by: Callable[Concatenate[Deployment, P], Deployment], *args: P.args, **kwargs: P.kwargs
    ) -> "State":
        """With the record as one of ``record``'s functions leaves it."""
        return replace(self, deployment=by(self.deployment, *args, **kwargs))

    def moved(self, phase: Phase, /, **update: Unpack[Advance]) -> "State":
        """In another phase, which waits for no time unless ``until`` (ms) is given."""
        return replace(self, progress=self.progress.model_copy(update={"until": None, **update, "phase": phase}))

    def noting(self, **update: Unpack[Advance]) -> "State":
        """With these fields of the progress."""
        return replace(self, progress=self.progress.model_copy(update=update))

    def interrupted(self, by: Interrupt) -> "State":
        """With the present phase to be ended."""
        return replace(self, interrupt=by)

    def resumed(self) -> "State":
        """Without an interrupt: it is being acted on."""
        return replace(self, interrupt=None)
