"""The story of `hybridci demo`, chapter by chapter; every step is checked.

Deliberately not here: the stack and the machines under it (``run``), how it is told (``narrate``).
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from api.cli.client import SERVICES, Refused
from api.cli.demo.checks import DemoFailed, expect, wait_for
from api.cli.demo.control import Control, ask_server, workflow_of
from api.cli.demo.demo_service import AUTHOR, BAD, FIRST, GOOD, PRODUCTION, STAGING, Shop, definition
from api.cli.demo.lost_agent import LostAgent
from api.cli.demo.narrate import Narrator
from api.cli.demo.visitors import Visitors
from workflows.contracts.deployments import Deployment, DeploymentStatus, StageStatus
from workflows.contracts.environments import EnvironmentState
from workflows.contracts.ids import environment_workflow_id

APPROVER: Final = "bob@example.com"
OPERATOR: Final = "olga@example.com"
_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Stage:
    """What the story is played on. ``ports`` and ``homes`` by environment; ``folder`` is for its own files."""

    control: Control
    shop: Shop
    service: str
    folder: Path
    homes: Mapping[str, Path]
    ports: Mapping[str, list[int]]


class Story:
    """Play it once. Raises DemoFailed, CliError."""

    def __init__(self, stage: Stage, narrator: Narrator) -> None:
        self._stage, self._tell, self._control = stage, narrator, stage.control
        self._lost = LostAgent(narrator, stage.control, stage.shop, stage.folder)
        self._visitors = Visitors(stage.ports[PRODUCTION])

    def play(self) -> None:
        """From the registration to the rollback."""
        self._tell.chapter("A service is registered from YAML")
        self._register()
        self._tell.chapter("An agent is killed in the middle of a job")
        self._lost.begin()
        self._tell.chapter(f"{FIRST} goes live after an approval")
        self._first_version()
        with self._visitors.visiting():
            self._tell.chapter(f"{BAD} has a bug and rolls itself back")
            self._bad_version()
            self._tell.chapter(f"{GOOD} waits for the hold, then goes live")
            self._good_version()
            self._tell.chapter("An operator rolls back with one command")
            self._operators_rollback()
        self._tell.chapter("The lost job has ended on the other agent")
        self._lost.end()
        self._tell.chapter("What visitors saw, and who did what")
        self._what_visitors_saw()
        self._trail()

    def _register(self) -> None:
        stage, tell = self._stage, self._tell
        file = stage.folder / "service.yml"
        file.write_text(definition(stage.shop, stage.homes, stage.ports), encoding="utf-8")
        tell.say(f"A git repository with three versions of the service: {stage.shop.folder}")
        tell.command(f"hybridci service apply {stage.service} -f {file}")
        self._control.cli("service", "apply", stage.service, "-f", str(file))
        registered = self._control.api.get(f"{SERVICES}/{stage.service}")
        names = [environment["name"] for environment in registered["spec"]["environments"]]
        expect("The registered environments", expected=[STAGING, PRODUCTION], seen=names)
        tell.checked(f"{stage.service} is registered: build, test, {STAGING} (1 server), {PRODUCTION} (2 servers).")

    def _first_version(self) -> None:
        deployment = self._start(FIRST)
        deployment = self._until_approval(deployment)
        self._refused_author(deployment)
        self._tell.command(f"POST …/deployments/{deployment.deployment_id}/approve   as {APPROVER}")
        self._control.command(deployment.deployment_id, "approve", {"by": APPROVER, "comment": "Open it."})
        self._until_live(deployment)

    def _bad_version(self) -> None:
        deployment = self._until_approval(self._start(BAD))
        words = ("deploy", "approve", deployment.deployment_id, "--by", APPROVER)
        self._tell.command(f"hybridci {' '.join(words)}")
        self._control.cli(*words)
        ended = self._follow(deployment, DeploymentStatus.ROLLED_BACK)
        rollback = ended.rollback
        expect(
            f"The rollback of {BAD}: target, automatic", expected=(FIRST, True),
            seen=(rollback.target_version, rollback.automatic) if rollback else None,
        )  # fmt: skip
        expect(f"Why {BAD} was rolled back", expected="verification_failed", seen=ended.cause)
        self._tell.checked(f"{BAD} failed its verification and was rolled back by itself: {ended.error_message}")
        self._expect_version(PRODUCTION, FIRST)
        self._tell.link("the deployment", self._control.ui(workflow_of(deployment)))

    def _good_version(self) -> None:
        state = self._until_environment(lambda seen: seen.hold is not None, "a hold, set by the rollback")
        self._tell.checked(f"The rollback has set a hold on {PRODUCTION}: {state.hold.reason if state.hold else None}")
        self._tell.link("the environment", self._control.ui(environment_workflow_id(self._stage.service, PRODUCTION)))
        deployment = self._until_approval(self._start(GOOD))
        self._approve_in_temporal(deployment)
        held = self._until(deployment, _held, "that it waits for the hold to be released")
        self._tell.checked(f"{GOOD} is approved and waits: {held.waits_for}")
        self._expect_version(PRODUCTION, FIRST)
        words = ("deploy", "release", self._stage.service, "--environment", PRODUCTION, "--by", OPERATOR)
        self._tell.command(f"hybridci {' '.join(words)}")
        self._control.cli(*words)
        self._until_live(deployment)

    def _operators_rollback(self) -> None:
        state = self._until_environment(_lives(GOOD), f"that {GOOD} is live")
        deployment = self._control.deployment(state.live.deployment_id if state.live else "")
        began = self._stage.homes[PRODUCTION] / "rollback-began"
        began.unlink(missing_ok=True)
        self._tell.command(f"hybridci deploy rollback {deployment.deployment_id} --reason 'Customers complain'")
        asked = time.time_ns()
        self._control.command(
            deployment.deployment_id, "rollback", {"by": OPERATOR, "reason": "Customers complain about the price"}
        )
        wait_for("The rollback's command", began.exists, bool, expected="that it runs", seconds=20)
        millis = (began.stat().st_mtime_ns - asked) / 1e6
        self._tell.checked(f"{millis:.0f} ms from the request to the first instruction of the rollback's command.")
        self._follow(deployment, DeploymentStatus.ROLLED_BACK)
        self._expect_version(PRODUCTION, FIRST)
        state = self._until_environment(_lives(FIRST), f"that {FIRST} is live again")
        self._tell.checked(f"On record, too: {state.live.version if state.live else None} is live again.")

    def _what_visitors_saw(self) -> None:
        seen = self._visitors.seen
        bad = {what: count for what, count in seen.items() if what[1] != 200}
        strangers = {what: count for what, count in bad.items() if what != (BAD, 500)}
        expect(f"Errors that visitors saw from versions other than {BAD}", expected={}, seen=strangers)
        if not bad:
            raise DemoFailed(f"Errors that visitors saw from {BAD}", expected="some", seen=dict(seen))
        text = ", ".join(f"{version}: {count} times {status}" for (version, status), count in sorted(seen.items()))
        self._tell.checked(f"{sum(seen.values())} visits to {PRODUCTION}, all answered ({text}). Only {BAD} failed.")

    def _trail(self) -> None:
        events = self._control.api.get("/api/events", {"service_name": self._stage.service, "limit": 100})["items"]
        people = {(event["by"], event["action"].rpartition(".")[2]) for event in events}
        wanted = {(APPROVER, "approved"), (OPERATOR, "released")}
        if not wanted <= people:
            raise DemoFailed("The audit trail", expected=sorted(wanted), seen=sorted(people))
        self._tell.checked(f"{len(events)} entries in the audit trail say who did what, when, from where and why.")
        self._tell.link("the trail", f"{self._control.options.url}/api/events?service_name={self._stage.service}")

    def _start(self, version: str) -> Deployment:
        sha = self._stage.shop.commits[version]
        self._tell.command(f"hybridci deploy start {self._stage.service} {version} --sha {sha[:12]}")
        deployment = self._control.start(
            {"service_name": self._stage.service, "version": version, "git_commit_sha": sha, "git_author": AUTHOR}
        )
        self._tell.link("the deployment", self._control.ui(workflow_of(deployment)))
        return deployment

    def _until_approval(self, deployment: Deployment) -> Deployment:
        waiting = self._until(deployment, _wants_approval, f"that it waits for the approval of {PRODUCTION}")
        self._expect_version(STAGING, deployment.version)
        return waiting

    def _refused_author(self, deployment: Deployment) -> None:
        try:
            self._control.command(deployment.deployment_id, "approve", {"by": AUTHOR})
        except Refused as refusal:
            self._tell.checked(f"{AUTHOR} may not approve: {refusal.message}")
        else:
            raise DemoFailed("The author's own approval", expected="a refusal", seen="it was accepted")

    def _approve_in_temporal(self, deployment: Deployment) -> None:
        words = ("workflow", "update", "execute", "--workflow-id", workflow_of(deployment), "--name", "approve")
        text = json.dumps({"by": APPROVER})
        self._tell.command(f"temporal {' '.join(words)} --input '{text}'")
        self._control.temporal(*words, "--input", text)

    def _until_live(self, deployment: Deployment) -> None:
        self._follow(deployment, DeploymentStatus.LIVE)
        self._expect_version(PRODUCTION, deployment.version)

    def _follow(self, deployment: Deployment, status: DeploymentStatus) -> Deployment:
        return self._until(deployment, lambda seen: seen.status is status, f"status {status}")

    def _until(self, deployment: Deployment, good: Callable[[Deployment], bool], expected: str) -> Deployment:
        """Tell each step of the deployment until it is good. An end of another kind fails at once."""
        told = ""

        def look() -> Deployment:
            nonlocal told
            seen = self._control.deployment(deployment.deployment_id)
            if told != (told := _where(seen)):
                self._tell.say(told)
            return seen

        what = f"Deployment {deployment.version}"
        seen = wait_for(what, look, lambda seen: good(seen) or seen.status.final, expected=expected, seconds=_SECONDS)
        if not good(seen):
            raise DemoFailed(what, expected=expected, seen=f"{seen.status} ({seen.cause}): {seen.error_message}")
        return seen

    def _until_environment(self, good: Callable[[EnvironmentState], bool], expected: str) -> EnvironmentState:
        """Its record follows the deployment's within moments."""
        return wait_for(
            f"The record of {PRODUCTION}",
            lambda: self._control.environment(self._stage.service, PRODUCTION),
            good,
            expected=expected,
            seconds=10,
        )

    def _expect_version(self, environment: str, version: str) -> None:
        """Ask the servers themselves."""
        for port in self._stage.ports[environment]:
            url = f"http://127.0.0.1:{port}/version"
            expect(
                f"GET {url} ({environment})", expected=(200, {"version": version}), seen=ask_server(port, "/version")
            )
            self._tell.checked(f"GET {url} ({environment}): {version}")


def _wants_approval(deployment: Deployment) -> bool:
    stage = deployment.stage(PRODUCTION)
    return stage is not None and stage.status is StageStatus.WAITING and stage.approved_at is None


def _lives(version: str) -> Callable[[EnvironmentState], bool]:
    return lambda state: state.live is not None and state.live.version == version


def _held(deployment: Deployment) -> bool:
    stage = deployment.stage(PRODUCTION)
    waits = stage is not None and stage.status is StageStatus.WAITING and stage.approved_at is not None
    return waits and "hold" in (deployment.waits_for or "").lower()


def _where(deployment: Deployment) -> str:
    version, stage = deployment.version, deployment.stage(deployment.environment or "")
    if deployment.status.final or deployment.status is DeploymentStatus.LIVE:
        return f"{version}: {deployment.status.replace('_', ' ')}"
    if deployment.rollback is not None:
        return f"{version}: rolls back to {deployment.rollback.target_version} ({deployment.rollback.reason})"
    if deployment.waits_for:
        return f"{version}: {deployment.waits_for}"
    if stage is None:
        return f"{version}: {'test' if deployment.test_job_id else 'build'}"
    percent = f" at {stage.percent} %" if stage.percent is not None else ""
    return f"{version}: {stage.environment}, {stage.status}{percent}"
