"""The commands that steer a deployment or its environment: approve, reject, resume, cancel, hold, release.

They belong to `hybridci deploy`, which adds them. Deliberately not here: what to say about the state of a deployment,
going back (``rollback``).
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.client.connection import USAGE, CliError
from api.cli.client.http import ApiClient
from api.cli.commands.common import AsJson, DataDir, example, open_api, sub_app
from api.cli.commands.deployments.lookup import (
    DeploymentArgument,
    can_end,
    find_deployment,
    is_on_its_way,
)
from api.cli.commands.deployments.requests import (
    As,
    EnvironmentOption,
    MaybeWhy,
    ServiceArgument,
    Why,
    command_deployment,
    command_environment,
    tell_deployment,
    tell_environment,
)
from api.cli.commands.deployments.signing import signed_approval
from api.cli.commands.deployments.view import approvals, waits_for_approval
from api.cli.commands.deployments.watch import watch
from api.cli.output import note
from workflows.contracts.deployments.deployment import Deployment, DeploymentSummary
from workflows.contracts.deployments.services import PRODUCTION

app = sub_app("Steer deployments.")

OnlyEnvironment = Annotated[
    str | None, typer.Option("--environment", "-e", help="Only if this is the environment that waits.")
]
Watch = Annotated[bool, typer.Option("--watch", help="Watch it until it is live or has ended; exit 0 for live.")]


@app.command(
    epilog=example(
        "hybridci deploy approve checkout@1.4.2 --as ann@example.com",
        "hybridci deploy approve checkout@1.4.2 --sign-with ann.key --commit 9f1c…",
    )
)
def approve(
    deployment: DeploymentArgument,
    comment: Annotated[str | None, typer.Option(help="Kept in the trail.")] = None,
    environment: OnlyEnvironment = None,
    commit: Annotated[str | None, typer.Option(help="Only if this is its commit, the full id.")] = None,
    sign_with: Annotated[
        Path | None, typer.Option(help="Sign it with this private key, for agents that check approvals themselves.")
    ] = None,
    sign_for: Annotated[str, typer.Option(help="How long the signature holds.")] = "3d",
    by: As = None,
    watch_it: Watch = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Say yes to a version in the environment that waits for it; by its service alone while no other waits."""
    body: dict[str, Any] = {"comment": comment, "environment": environment, "git_commit_sha": commit, "by": by}
    with open_api(data_dir) as api:
        deployment_id = _to_be_approved(api, deployment)
        if sign_with is not None:
            body["signed"] = signed_approval(
                api, deployment_id, sign_with, lasts=sign_for, environment=environment, commit=commit
            )
        record = command_deployment(api, deployment_id, "approve", body)
        if watch_it:
            raise typer.Exit(watch(api, record["deployment_id"], as_json=as_json))
        tell_deployment(api, record, _so_far(Deployment.model_validate(record)), as_json=as_json)


@app.command(epilog=example('hybridci deploy reject checkout@1.4.2 --reason "breaks the invoice"'))
def reject(
    deployment: DeploymentArgument,
    reason: Why,
    environment: OnlyEnvironment = None,
    by: As = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Say no: the deployment ends."""
    body = {"reason": reason, "environment": environment, "by": by}
    with open_api(data_dir) as api:
        record = command_deployment(api, _to_be_approved(api, deployment), "reject", body)
        tell_deployment(api, record, "rejected", as_json=as_json)


@app.command(epilog=example('hybridci deploy resume checkout@1.4.2 --reason "latency is the monitoring\'s fault"'))
def resume(
    deployment: DeploymentArgument, reason: Why, by: As = None, as_json: AsJson = False, data_dir: DataDir = None
) -> None:
    """Go on where verification could not tell, where a commit is older, or once a commit is on its branch."""
    with open_api(data_dir) as api:
        record = command_deployment(
            api, find_deployment(api, deployment, prefer=is_on_its_way), "resume", {"reason": reason, "by": by}
        )
        tell_deployment(api, record, "resumed", as_json=as_json)


@app.command(
    epilog=example(
        'hybridci deploy promote checkout@1.4.2 --reason "all is well at 10 %"',
        'hybridci deploy promote checkout@1.4.2 --full --reason "it repairs the outage"',
    )
)
def promote(
    deployment: DeploymentArgument,
    reason: Why,
    full: Annotated[bool, typer.Option("--full", help="To 100 % at once, without any further pause.")] = False,
    by: As = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Go on with a rollout now, past the present pause or freeze. Verification and approvals stay."""
    body = {"reason": reason, "full": full or None, "by": by}
    _step(deployment, "promote", body, "goes to 100 %" if full else "goes on", as_json, data_dir)


@app.command("skip-step", epilog=example('hybridci deploy skip-step checkout@1.4.2 --reason "the pause is too long"'))
def skip_step(
    deployment: DeploymentArgument, reason: Why, by: As = None, as_json: AsJson = False, data_dir: DataDir = None
) -> None:
    """Leave the present pause of a rollout out; where a freeze or hold stops it, the next percentage."""
    _step(deployment, "skip-step", {"reason": reason, "by": by}, "leaves a step out", as_json, data_dir)


@app.command(epilog=example('hybridci deploy abort checkout@1.4.2 --reason "orders fail at 10 %"'))
def abort(
    deployment: DeploymentArgument, reason: Why, by: As = None, as_json: AsJson = False, data_dir: DataDir = None
) -> None:
    """Stop a rollout and bring back what was live; in an environment before the last one, end it."""
    _step(deployment, "abort", {"reason": reason, "by": by}, "aborted", as_json, data_dir)


def _step(deployment: str, action: str, body: dict[str, Any], done: str, as_json: bool, data_dir: Path | None) -> None:
    with open_api(data_dir) as api:
        deployment_id = find_deployment(api, deployment, prefer=is_on_its_way, strict=True)
        tell_deployment(api, command_deployment(api, deployment_id, action, body), done, as_json=as_json)


@app.command(epilog=example('hybridci deploy cancel 3f2a9c01 --reason "wrong commit"'))
def cancel(
    deployment: DeploymentArgument,
    reason: MaybeWhy = None,
    by: As = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """End a deployment. Once something was rolled out into the last environment, this rolls back."""
    with open_api(data_dir) as api:
        deployment_id = find_deployment(api, deployment, prefer=can_end, strict=True)
        record = command_deployment(api, deployment_id, "cancel", {"reason": reason, "by": by})
        tell_deployment(api, record, "cancelled", as_json=as_json)


@app.command(epilog=example('hybridci deploy hold checkout --reason "incident 4711"'))
def hold(
    service: ServiceArgument,
    reason: Why,
    environment: EnvironmentOption = PRODUCTION,
    by: As = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Let nothing be rolled out into an environment until `deploy release`."""
    with open_api(data_dir) as api:
        answer = command_environment(api, service, environment, "hold", {"reason": reason, "by": by})
        tell_environment(answer, "held", as_json=as_json)
        if not as_json:
            release_it = api.command(f"deploy release {service} --environment {environment}")
            note(f"Lift it with `{release_it}`.")


@app.command(epilog=example("hybridci deploy release checkout"))
def release(
    service: ServiceArgument,
    environment: EnvironmentOption = PRODUCTION,
    reason: MaybeWhy = None,
    by: As = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Lift a hold: what waits is rolled out."""
    with open_api(data_dir) as api:
        answer = command_environment(api, service, environment, "release", {"reason": reason, "by": by})
        tell_environment(answer, "released", as_json=as_json)


def _to_be_approved(api: ApiClient, text: str) -> str:
    """The id; a service's name means the one that waits for approval, whatever else is on its way. Of several
    none is meant: one may have come after whoever types this has looked. Raises CliError.
    """
    waiting: dict[str, DeploymentSummary] = {}

    def waits(deployment: DeploymentSummary) -> bool:
        waiting_now = is_on_its_way(deployment) and waits_for_approval(api.deployment(deployment.deployment_id))
        if waiting_now:
            waiting[deployment.deployment_id] = deployment
        return waiting_now

    found = find_deployment(api, text, prefer=waits)
    if len({(each.version, each.git_commit_sha) for each in waiting.values()}) > 1:
        ways = ", ".join(f"{each.deployment_id[:8]} ({each.version})" for each in list(waiting.values())[:10])
        raise CliError(f"More than one of them waits for an approval: {ways}. Say by its id which one you mean.", USAGE)
    return found


def _so_far(deployment: Deployment) -> str:
    """``approved for production, 1 of 2 (bob)``."""
    name = deployment.environment
    return f"approved for {name}, {approvals(deployment, name)}" if name else "approved"
