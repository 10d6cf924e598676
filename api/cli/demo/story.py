"""The story of `hybridci demo`, chapter by chapter; every step is checked.

Deliberately not here: the stack and the machines under it (``run``), how it is told (``narrate``).
"""

import json
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from api.cli.client.http import DEPLOYMENTS, SERVICES, ApiRefused
from api.cli.demo.agents import Agents
from api.cli.demo.checks import DemoFailed, expect, wait_for
from api.cli.demo.control import Control, ask_server, workflow_of
from api.cli.demo.demo_service import AUTHOR, BAD, FIRST, GOOD, NEXT, PRODUCTION, STAGING, Shop, definition
from api.cli.demo.lost_agent import LostAgent
from api.cli.demo.narrate import Narrator
from api.cli.demo.visitors import Visitors
from workflows.contracts.audit.events import EventPage
from workflows.contracts.deployments.deployment import Deployment, DeploymentStatus, StageStatus
from workflows.contracts.deployments.environments import EnvironmentState
from workflows.contracts.ids import environment_workflow_id
from workflows.contracts.statuses import JobStatus

APPROVER: Final = "bob@example.com"
OPERATOR: Final = "olga@example.com"
_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class DemoParts:
    """What the story is played with. ``ports`` and ``homes`` by environment; ``folder`` is for its own files."""

    control: Control
    agents: Agents
    shop: Shop
    service: str
    folder: Path
    homes: Mapping[str, Path]
    ports: Mapping[str, list[int]]


class DemoStory:
    """Play it once. Raises DemoFailed, CliError."""

    def __init__(self, parts: DemoParts, narrator: Narrator) -> None:
        self._parts, self._tell, self._control = parts, narrator, parts.control
        self._lost = LostAgent(narrator, parts.control, parts.agents, parts.shop, parts.folder)
        self._visitors = Visitors(parts.ports[PRODUCTION])
        self._told = ""

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
            self._tell.chapter(f"The line is stopped, and {NEXT} waits until it goes on")
            self._stopped_line()
            self._tell.chapter("An operator rolls back with one command, twice in a row")
            self._operators_rollback(NEXT, GOOD)
            self._operators_rollback(GOOD, FIRST)
        self._tell.chapter("The lost job has ended on the other agent")
        self._lost.end()
        self._tell.chapter("What visitors saw, and who did what")
        self._what_visitors_saw()
        self._trail()

    def _register(self) -> None:
        parts, tell = self._parts, self._tell
        file = parts.folder / "service.yml"
        file.write_text(definition(parts.shop, parts.service, parts.homes, parts.ports), encoding="utf-8")
        tell.say(f"A git repository with three versions of the service: {parts.shop.folder}")
        self._run_cli("service", "apply", "-f", str(file))
        registered = self._control.api.get(f"{SERVICES}/{parts.service}")
        names = [environment["name"] for environment in registered["spec"]["environments"]]
        expect("The registered environments", expected=[STAGING, PRODUCTION], seen=names)
        tell.checked(f"{parts.service} is registered: build, test, {STAGING} (1 server), {PRODUCTION} (2 servers).")

    def _first_version(self) -> None:
        deployment = self._start(FIRST)
        deployment = self._until_approval(deployment)
        self._refused_author(deployment)
        self._command(deployment, "approve", {"by": APPROVER, "comment": "Open the shop."})
        self._until_live(deployment)

    def _bad_version(self) -> None:
        deployment = self._until_approval(self._start(BAD))
        self._run_cli("deploy", "approve", f"{self._parts.service}@{BAD}", "--as", APPROVER)
        ended = self._follow(deployment, DeploymentStatus.ROLLED_BACK)
        rollback = ended.rollback
        expect(
            f"The rollback of {BAD}: target, automatic", expected=(FIRST, True),
            seen=(rollback.target_version, rollback.automatic) if rollback else None,
        )  # fmt: skip
        self._tell.checked(f"{BAD} was rolled back by itself to {FIRST}.")
        self._why_it_failed(ended)
        self._expect_version(PRODUCTION, FIRST)

    def _why_it_failed(self, deployment: Deployment) -> None:
        stage = deployment.stage(PRODUCTION)
        jobs = [self._control.job(job_id) for job_id in (stage.job_ids if stage else [])]
        verifications = [job for job in jobs if job.job_type == "verify"]
        expect(f"The verification of {BAD}", expected=[JobStatus.FAILED], seen=[job.status for job in verifications])
        log = self._run_cli("job", "logs", verifications[0].job_id)
        words = [line for line in log.splitlines() if "ZeroDivisionError" in line]
        if not words:
            raise DemoFailed(f"The log of {BAD}'s verification", expected="a ZeroDivisionError", seen=log)
        self._tell.checked(f"Its verification found the bug: {words[0]}")

    def _good_version(self) -> None:
        self._until_environment(lambda seen: seen.hold is not None, "a hold, set by the rollback")
        self._tell.checked(f"The rollback has set a hold on {PRODUCTION}, so that nothing rolls forward by itself.")
        self._tell.link("the environment", self._control.ui(environment_workflow_id(self._parts.service, PRODUCTION)))
        deployment = self._until_approval(self._start(GOOD))
        self._approve_in_temporal(deployment)
        self._until(deployment, _held, "that it waits for the hold to be released")
        self._tell.checked(f"{GOOD} is approved and waits until somebody lifts the hold.")
        self._expect_version(PRODUCTION, FIRST)
        self._run_cli("deploy", "release", self._parts.service, "--as", OPERATOR, "--reason", "1.2 is the remedy")
        self._until_live(deployment)

    def _stopped_line(self) -> None:
        everywhere, why = ("--all", "--environment", PRODUCTION, "--for", "1h"), "The payment provider is down."
        self._run_cli("freeze", "add", *everywhere, "--name", "incident", "--reason", why, "--as", OPERATOR)
        deployment = self._until_approval(self._start(NEXT))
        self._command(deployment, "approve", {"by": APPROVER})
        self._until(deployment, _stopped, "that it waits for the line")
        self._expect_version(PRODUCTION, GOOD)
        stops = self._control.api.get("/api/dashboard/freezes")["items"]
        expect("The freezes of all services", expected=["incident"], seen=[stop["name"] for stop in stops])
        self._tell.checked(f"Nothing of any service is rolled out to {PRODUCTION}: {NEXT} is approved and waits.")
        self._run_cli("freeze", "remove", stops[0]["stop_id"], "--as", OPERATOR, "--reason", "The provider is back.")
        self._until_live(deployment)

    def _operators_rollback(self, leaves: str, back_to: str) -> None:
        state = self._until_environment(_lives(leaves), f"that {leaves} is live")
        deployment = self._control.deployment(state.live.deployment_id if state.live else "")
        began = self._parts.homes[PRODUCTION] / "rollback-began"
        began.unlink(missing_ok=True)
        asked = time.time_ns()
        body = {"by": OPERATOR, "reason": "Customers complain about the price."}
        path = f"{SERVICES}/{self._parts.service}/environments/{PRODUCTION}/rollback"
        self._tell.command(f"POST {path} {json.dumps(body)}")
        self._control.api.request("POST", path, body=body, headers={"User-Agent": "demo"})
        wait_for("The rollback's command", began.exists, bool, expected="that it runs", seconds=20)
        millis = (began.stat().st_mtime_ns - asked) / 1e6
        self._tell.checked(f"{millis:.0f} ms from the request to the first instruction of the rollback's command.")
        self._follow(deployment, DeploymentStatus.ROLLED_BACK)
        self._expect_version(PRODUCTION, back_to)
        state = self._until_environment(_lives(back_to), f"that {back_to} is live again")
        again = state.live.deployment_id if state.live else ""
        wait_for(
            f"The record of {back_to}",
            lambda: self._control.deployment(again),
            lambda seen: seen.status is DeploymentStatus.LIVE and not seen.closed,
            expected="open and live",
            seconds=10,
        )
        self._tell.checked(f"On record, too: {back_to} is live again, watched, and can be rolled back itself.")

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
        query = {"service_name": self._parts.service, "limit": 100}
        events = EventPage.model_validate(self._control.api.get("/api/events", query)).items
        people = [event for event in reversed(events) if event.by.endswith((APPROVER, OPERATOR))]
        for event in people:
            marks = f"; {event.message}" if event.action == "deployment.approved" else ""
            self._tell.say(f"{event.by}: {event.action} {event.version or event.environment} ({event.via}{marks})")
        ways = sorted(event.via for event in people if event.action == "deployment.approved")
        expect("The ways of the approvals in the audit trail", expected=["api", "api", "cli", "temporal"], seen=ways)
        self._tell.checked(f"The audit trail has it all: {len(events)} entries of who did what, when, from where, why.")

    def _start(self, version: str) -> Deployment:
        shop = self._parts.shop
        commit = ("--repo", str(shop.folder), "--sha", shop.commits[version])
        answer = self._run_cli("deploy", "start", self._parts.service, "--version", version, *commit, "--json")
        deployment = Deployment.model_validate_json(answer)
        expect(f"The author of {version}", expected=AUTHOR, seen=deployment.git_author)
        self._tell.link("the deployment", self._control.ui(workflow_of(deployment)))
        return deployment

    def _run_cli(self, *words: str) -> str:
        self._tell.command(shlex.join(["hybridci", *words]))
        return self._control.cli(*words)

    def _command(self, deployment: Deployment, verb: str, body: Mapping[str, str]) -> None:
        self._tell.command(f"POST {DEPLOYMENTS}/{deployment.deployment_id}/{verb} {json.dumps(body)}")
        self._control.command(deployment.deployment_id, verb, body)

    def _until_approval(self, deployment: Deployment) -> Deployment:
        waiting = self._until(deployment, _wants_approval, f"that it waits for the approval of {PRODUCTION}")
        self._expect_version(STAGING, deployment.version)
        return waiting

    def _refused_author(self, deployment: Deployment) -> None:
        try:
            self._command(deployment, "approve", {"by": AUTHOR})
        except ApiRefused as refusal:
            self._tell.checked(f"{AUTHOR} may not approve: {refusal.message}")
        else:
            raise DemoFailed("The author's own approval", expected="a refusal", seen="it was accepted")

    def _approve_in_temporal(self, deployment: Deployment) -> None:
        what = ("--workflow-id", workflow_of(deployment), "--name", "approve", "--input", json.dumps({"by": APPROVER}))
        words = ("workflow", "update", "execute", *what)
        self._tell.command(shlex.join(["temporal", *words]))
        self._control.temporal(*words)

    def _until_live(self, deployment: Deployment) -> None:
        self._follow(deployment, DeploymentStatus.LIVE)
        self._expect_version(PRODUCTION, deployment.version)

    def _follow(self, deployment: Deployment, status: DeploymentStatus) -> Deployment:
        return self._until(deployment, lambda seen: seen.status is status, f"status {status}")

    def _until(self, deployment: Deployment, good: Callable[[Deployment], bool], expected: str) -> Deployment:
        """Tell each step of the deployment until it is good. An end of another kind fails at once."""

        def look() -> Deployment:
            seen = self._control.deployment(deployment.deployment_id)
            if self._told != (where := _where(seen)):
                self._told = where
                self._tell.say(where)
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
            lambda: self._control.environment(self._parts.service, PRODUCTION),
            good,
            expected=expected,
            seconds=10,
        )

    def _expect_version(self, environment: str, version: str) -> None:
        """Ask the servers themselves."""
        for port in self._parts.ports[environment]:
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


def _stopped(deployment: Deployment) -> bool:
    return "incident" in (deployment.waits_for or "")


def _where(deployment: Deployment) -> str:
    version, stage = deployment.version, deployment.stage(deployment.environment or "")
    if deployment.rollback is not None and not deployment.status.final:
        return f"{version}: rolls back to {deployment.rollback.target_version} ({deployment.rollback.reason})"
    if deployment.status.final or deployment.status is DeploymentStatus.LIVE:
        return f"{version}: {deployment.status.replace('_', ' ')}"
    if deployment.waits_for:
        return f"{version}: {deployment.waits_for.removeprefix(f'{version} ')}"
    if stage is None:
        return f"{version}: {'test' if deployment.test_job_id else 'build'}"
    percent = f" at {stage.percent} %" if stage.percent is not None else ""
    return f"{version}: {stage.environment}, {stage.status}{percent}"
