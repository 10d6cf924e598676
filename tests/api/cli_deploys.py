"""What the tests of the CLI's commands for deployments share: a service, a deployment in any state, the commands."""

import json
from typing import Any

from typer.testing import CliRunner, Result

from api.cli.commands import job, service
from api.cli.commands.deployments import deploy, freeze, hold
from api.cli.commands.files import init
from tests.api.cli_bench import ADMIN_KEY, Served, environment
from workflows.client.deployments import workflow_id_of
from workflows.contracts.deployments.deployment import (
    Deployment,
    DeploymentStatus,
    Stage,
    StageStatus,
)
from workflows.contracts.deployments.environments import (
    EnvironmentState,
    EnvironmentWrite,
    LiveVersion,
)

APPS = {
    "service": service.app, "deploy": deploy.app, "freeze": freeze.app, "hold": hold.app, "init": init.app,
    "job": job.app,
}  # fmt: skip


STEPS = [{"name": "go", "run": "./deploy.sh"}]


SPEC: dict[str, Any] = {
    "git_repo": "https://example.com/shop.git",
    "build": {"steps": STEPS},
    "environments": [
        {"name": "staging", "external": True},
        {"name": "production", "steps": STEPS, "approval": {}},
    ],
}


SHA = "a" * 40


def call(api: Served | str, *arguments: str, key: str = ADMIN_KEY, text: str | None = None) -> Result:
    url = api if isinstance(api, str) else api.url
    env: dict[str, str | None] = {**environment(url, key), "HYBRIDCI_DATA_DIR": None}
    return CliRunner().invoke(APPS[arguments[0]], list(arguments[1:]), env=env, input=text)


def done(api: Served, *arguments: str, text: str | None = None) -> Result:
    result = call(api, *arguments, text=text)
    assert result.exit_code == 0, result.output
    return result


def told(api: Served, *arguments: str) -> Any:
    return json.loads(done(api, *arguments, "--json").stdout)


def register(api: Served, name: str, **changes: Any) -> None:
    done(api, "service", "apply", "-f", "-", "--name", name, text=json.dumps({**SPEC, **changes}))


def started(api: Served, name: str, version: str = "1.0", **changes: Any) -> str:
    """A deployment of a service of this name, in this state."""
    if call(api, "service", "show", name).exit_code:
        register(api, name)
    arguments = ("deploy", "start", name, "--version", version, "--sha", SHA, "--author", "ann@example.com")
    deployment_id = str(told(api, *arguments)["deployment_id"])
    if changes:
        change(api, deployment_id, **changes)
    return deployment_id


def record(api: Served, deployment_id: str) -> Deployment:
    found = api.run(api.stores.deployments.get(deployment_id))
    assert found is not None
    return found


def change(api: Served, deployment_id: str, **changes: Any) -> Deployment:
    return api.run(api.job_client.releases.put(record(api, deployment_id), **changes))


def environment_is(api: Served, name: str, **changes: Any) -> None:
    state = EnvironmentState(service_name=name, environment="production", sequence=1)
    api.run(api.stores.environments.write(EnvironmentWrite(state=state.model_copy(update=changes))))


def is_live(api: Served, name: str, deployment_id: str, *before: str) -> None:
    """It is what is live in production; ``before`` was, oldest last."""
    history = [_live(record(api, each)) for each in (deployment_id, *before)]
    environment_is(api, name, live=history[0], history=history)


def _live(deployment: Deployment) -> LiveVersion:
    return LiveVersion(
        version=deployment.version,
        deployment_id=deployment.deployment_id,
        workflow_id=workflow_id_of(deployment),
        git_commit_sha=deployment.git_commit_sha,
        since=1_700_000_000_000,
    )


def production(status: StageStatus, **changes: Any) -> list[Stage]:
    return [
        Stage(environment="staging", external=True, status=StageStatus.DEPLOYED),
        Stage(environment="production", status=status, **changes),
    ]


LIVE: dict[str, Any] = {"status": DeploymentStatus.LIVE, "environment": "production", "live_at": 1_700_000_000_000}


WAITING: dict[str, Any] = {
    "status": DeploymentStatus.STAGED,
    "environment": "production",
    "waits_for": "1.0 waits for approval of production. `hybridci deploy approve this`",
    "stages": production(StageStatus.WAITING, waits_for="approval"),
}
