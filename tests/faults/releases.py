"""Deployments on the plant: services whose commands keep a ledger and can be held at a gate; requests sent again until
they are answered.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.faults.plant import JOBS, Plant
from tests.servers import wait_until
from workflows.contracts.audit.events import EventPage
from workflows.contracts.deployments.deployment import Deployment, DeploymentPage, DeploymentStatus
from workflows.contracts.deployments.environments import EnvironmentState
from workflows.contracts.deployments.services import PRODUCTION, STAGING
from workflows.contracts.jobs import Job

DEPLOYMENTS = "/api/dashboard/deployments"
SERVICES = "/api/dashboard/services"
_PATIENCE_SECONDS = 60
_COMMAND = """
name="{kind}-$HYBRIDCI_SERVICE-$HYBRIDCI_VERSION-${{HYBRIDCI_ENVIRONMENT:-}}-${{HYBRIDCI_ROLLOUT_PERCENT:-}}"
who="$name $HYBRIDCI_DEPLOYMENT_ID $HYBRIDCI_JOB_ID $HYBRIDCI_ATTEMPT_NUMBER"
printf 'begin %s\\n' "$who" >> "$LEDGER"
while [ -e "$GATES/$name" ]; do sleep 0.1; done
printf 'end %s\\n' "$who" >> "$LEDGER"
"""


@dataclass(frozen=True)
class Line:
    """What a command noted: ``name`` is ``<kind>-<service>-<version>-<environment>-<percent>``."""

    what: str
    name: str
    deployment_id: str
    job_id: str
    attempt: int


class Releases:
    """Services, deployments and what their commands noted, over HTTP only."""

    def __init__(self, plant: Plant, folder: Path) -> None:
        self.plant = plant
        self._ledger, self._gates = folder / "ledger", folder / "gates"
        self._gates.mkdir()
        self._keys: dict[str, str] = {}

    def register(
        self,
        service: str,
        *,
        build: bool = False,
        staging: Mapping[str, Any] | None = None,
        production: Mapping[str, Any] | None = None,
    ) -> None:
        """A service; the mappings are more fields of its environments."""
        place = {"LEDGER": str(self._ledger), "GATES": str(self._gates)}
        environments = [
            {"name": name, "steps": [{"name": "deploy", "run": script("deploy")}], "env": place, **(more or {})}
            for name, more in ((STAGING, staging), (PRODUCTION, production))
        ]
        spec: dict[str, Any] = {"git_repo": (self.plant.folder / "repo").as_uri(), "environments": environments}
        if build:
            spec["build"] = {"steps": [{"name": "build", "run": script("build")}], "env": place}
        answer = self.plant.http.put(f"{SERVICES}/{service}", json=spec)
        assert answer.status_code in (200, 201), answer.text

    # --- requests that can be sent again ----------------------------------------------------------------------------

    def start(self, service: str, version: str) -> str:
        """Start a deployment, with a key, until it is taken."""
        body = {
            "service_name": service, "version": version,
            "git_commit_sha": self.plant.sha, "git_author": "ann@example.com",
        }  # fmt: skip
        answer = self.send("POST", DEPLOYMENTS, body, key=f"{service}-{version}")
        assert answer.status_code in (200, 201, 202), answer.text
        return str(answer.json()["deployment_id"])

    def approve(self, deployment_id: str, person: str) -> int:
        """As this person, with a key of theirs."""
        if person not in self._keys:
            body = {"name": person, "owner": person, "grants": [{"role": "approver"}]}
            self._keys[person] = self.send("POST", "/api/access/keys", body).json()["key"]
        return self.tell(deployment_id, "approve", bearer=self._keys[person])

    def tell(self, deployment_id: str, command: str, *, bearer: str | None = None, **body: Any) -> int:
        """Send a command until it is answered. 409 on a repetition: it was taken the first time. 202: it is taken."""
        answer = self.send("POST", f"{DEPLOYMENTS}/{deployment_id}/{command}", body, bearer=bearer)
        assert answer.status_code in (200, 202, 409), answer.text
        return answer.status_code

    def release(self, service: str) -> None:
        """Lift production's hold."""
        answer = self.send("POST", f"{SERVICES}/{service}/environments/{PRODUCTION}/release", {"reason": "go on"})
        assert answer.status_code in (200, 202), answer.text

    def send(
        self, method: str, path: str, body: Any, *, key: str | None = None, bearer: str | None = None
    ) -> httpx.Response:
        """Again and again while the API is away or says 503. ``bearer``: another's key than the admin's."""
        headers = {"Idempotency-Key": key} if key else {}
        headers |= {"Authorization": f"Bearer {bearer}"} if bearer else {}
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                answer = self.plant.http.request(method, path, json=body, headers=headers)
            except httpx.TransportError as error:
                why = repr(error)
            else:
                if answer.status_code != 503:
                    return answer
                why = answer.text
            assert time.monotonic() < deadline, f"{method} {path} was not answered: {why}"
            time.sleep(0.1)

    # --- what is on record ------------------------------------------------------------------------------------------

    def get(self, deployment_id: str) -> Deployment:
        answer = self.send("GET", f"{DEPLOYMENTS}/{deployment_id}", None)
        assert answer.status_code == 200, answer.text
        return Deployment.model_validate_json(answer.content)

    def until(
        self, deployment_id: str, condition: Callable[[Deployment], bool], what: str, *, seconds: float = 60
    ) -> None:
        """Wait until the record says so; what it says is told when it does not."""
        found: list[Deployment] = []

        def good() -> bool:
            found[:] = [self.get(deployment_id)]
            return condition(found[0])

        try:
            wait_until(good, seconds=seconds, what=what)
        except AssertionError as error:
            last = found[0]
            said = f"{last.service_name} {last.version} is {last.status} in {last.environment}: {last.waits_for}"
            raise AssertionError(f"{error}; {said}; {last.error_message}") from error

    def until_status(self, deployment_id: str, status: DeploymentStatus, *, seconds: float = 60) -> None:
        self.until(deployment_id, lambda one: one.status is status, status, seconds=seconds)

    def job(self, job_id: str) -> Job:
        answer = self.send("GET", f"{JOBS}/{job_id}", None)
        assert answer.status_code == 200, answer.text
        return Job.model_validate_json(answer.content)

    def environment(self, service: str, environment: str) -> EnvironmentState:
        answer = self.send("GET", f"{SERVICES}/{service}/environments/{environment}", None)
        assert answer.status_code == 200, answer.text
        return EnvironmentState.model_validate_json(answer.content)

    def of_service(self, service: str) -> list[Deployment]:
        """All deployments of a service, oldest first."""
        answer = self.send("GET", f"{SERVICES}/{service}/deployments?limit=100", None)
        assert answer.status_code == 200, answer.text
        page = DeploymentPage.model_validate_json(answer.content)
        return [self.get(each.deployment_id) for each in reversed(page.items)]

    def actions(self, deployment_id: str) -> list[tuple[str, str]]:
        """(action, by) of each entry of the deployment's trail."""
        answer = self.send("GET", f"{DEPLOYMENTS}/{deployment_id}/events?limit=100", None)
        return [(event.action, event.by) for event in EventPage.model_validate_json(answer.content).items]

    # --- gates and the ledger ---------------------------------------------------------------------------------------

    def close_gates(self, names: Iterable[str]) -> None:
        """The commands of these names will wait."""
        for name in names:
            (self._gates / name).touch()

    def open_gates(self, names: Iterable[str] | None = None) -> None:
        """All of them when none is named."""
        for name in [gate.name for gate in self._gates.iterdir()] if names is None else names:
            (self._gates / name).unlink()

    def lines(self) -> list[Line]:
        """Whole lines only: another command may be writing."""
        text = self._ledger.read_text() if self._ledger.exists() else ""
        words = [line.split() for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [Line(what, name, identity, job_id, int(attempt)) for what, name, identity, job_id, attempt in words]

    def noted(self, what: str, name: str) -> bool:
        return any((line.what, line.name) == (what, name) for line in self.lines())

    def until_noted(self, what: str, name: str) -> None:
        wait_until(lambda: self.noted(what, name), seconds=60, what=f"'{what} {name}' in the ledger")


def script(kind: str) -> str:
    """A command that notes its beginning and its end, and waits at its gate in between."""
    return _COMMAND.format(kind=kind)
