"""`hybridci deploy rollback`: back from what is live in an environment, or from one deployment that is named.

Deliberately not here: what there is to go back to, which the environment and its versions know.
"""

from typing import Annotated, Any, Final

import typer

from api.cli.client.connection import USAGE, CliError
from api.cli.client.http import ApiClient
from api.cli.commands.common import AsJson, DataDir, example, open_api, sub_app
from api.cli.commands.deployments.lookup import can_roll_back, find_deployment, is_service
from api.cli.commands.deployments.requests import (
    As,
    Why,
    command_deployment,
    command_environment,
    service_path,
    tell_deployment,
)
from api.cli.commands.deployments.view import state
from api.cli.commands.deployments.watch import WENT_BACK, watch
from api.cli.output import note
from workflows.contracts.deployments.deployment import Deployment, Rollback, RollbackStatus
from workflows.contracts.deployments.environments import EnvironmentState

app = sub_app("Roll back.")
_LEAST_OF_COMMIT: Final = 7
_WHOLE_COMMIT: Final = (40, 64)


@app.command(
    epilog=example(
        'hybridci deploy rollback checkout --reason "orders fail"',
        'hybridci deploy rollback checkout --to-version 1.3.9 --reason "1.4 is broken" --watch',
    )
)
def rollback(
    what: Annotated[
        str,
        typer.Argument(
            metavar="SERVICE",
            help="The service: what is live there, or being rolled out. Or one deployment: its id, or SERVICE@VERSION.",
        ),
    ],
    reason: Why,
    environment: Annotated[
        str | None, typer.Option("--environment", "-e", help="Which environment. Default: the service's last.")
    ] = None,
    to_version: Annotated[
        str | None, typer.Option(help="Any version that was ever live there. Default: what was live before.")
    ] = None,
    to_commit: Annotated[
        str | None, typer.Option(help="The same by its commit, of which 7 characters are enough.")
    ] = None,
    job_id: Annotated[str | None, typer.Option(help="Done already, by this job of another CI or by hand.")] = None,
    no_ban: Annotated[
        bool, typer.Option("--no-ban", help="Do not ban what is left: nothing else keeps it from coming back.")
    ] = False,
    lift_ban: Annotated[
        bool, typer.Option("--lift-ban", help="Lift the ban of what you name, if it is banned.")
    ] = False,
    by: As = None,
    watch_it: Annotated[
        bool, typer.Option("--watch", help="Watch it to its end; exit 0 when it is rolled back.")
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Bring the version before back, at once: no approval, no queue. Sets a hold, and bans what is left."""
    if to_version is not None and to_commit is not None:
        raise CliError("--to-version and --to-commit name one target: give one of them.", USAGE)
    if lift_ban and to_version is None and to_commit is None:
        raise CliError("--lift-ban needs --to-version or --to-commit, whose ban is lifted.", USAGE)
    body: dict[str, Any] = {"reason": reason, "to_version": to_version, "job_id": job_id, "by": by}
    body |= {"ban": False if no_ban else None, "lift_ban": True if lift_ban else None}
    with open_api(data_dir) as api:
        if is_service(api, what):
            where = environment or _last_environment(api, what)
            body["to_commit"] = to_commit and _whole_commit(api, what, where, to_commit)
            record = command_environment(api, what, where, "rollback", body)
        elif environment is not None:
            raise CliError(f"--environment goes with a service, and {what!r} is none.", USAGE)
        else:
            deployment_id = find_deployment(api, what, prefer=can_roll_back)
            if to_commit is not None:
                body["to_commit"] = _of_deployment(api, deployment_id, to_commit)
            record = command_deployment(api, deployment_id, "rollback", body)
        if watch_it:
            raise typer.Exit(watch(api, record["deployment_id"], as_json=as_json, good=WENT_BACK))
        _tell(api, record, as_json=as_json)


def _tell(api: ApiClient, record: Any, *, as_json: bool) -> None:
    deployment = Deployment.model_validate(record)
    back = deployment.rollback
    tell_deployment(api, record, state(deployment), as_json=as_json)
    if as_json or back is None:
        return
    if back.forward:
        note(f"{back.target_version} came after {deployment.version}: this rolls forward.")
    if deployment.waits_for is not None and _under_way(back):
        note(deployment.waits_for)


def _under_way(rollback: Rollback) -> bool:
    return rollback.status is RollbackStatus.RUNNING


def _last_environment(api: ApiClient, service: str) -> str:
    """In the order in which a version passes them. Raises CliError for a service without any."""
    names = [item["environment"] for item in api.request("GET", service_path(service, "environments"))["items"]]
    if not names:
        raise CliError(f"{service} has no environment yet: name one with --environment.")
    return str(names[-1])


def _of_deployment(api: ApiClient, deployment_id: str, commit: str) -> str:
    deployment = api.deployment(deployment_id)
    names = [each.name for each in deployment.definition.environments]
    return _whole_commit(api, deployment.service_name, names[-1] if names else "production", commit)


def _whole_commit(api: ApiClient, service: str, environment: str, commit: str) -> str:
    """The one that begins so, of those that were live there. Raises CliError for none, or several."""
    wanted = commit.lower()
    if len(wanted) in _WHOLE_COMMIT:
        return wanted
    if len(wanted) < _LEAST_OF_COMMIT:
        raise CliError(f"{commit!r} is too short for a commit: give {_LEAST_OF_COMMIT} characters of it.", USAGE)
    answer = api.request("GET", service_path(service, "environments", environment))
    history = EnvironmentState.model_validate(answer).history
    found = sorted({live.git_commit_sha for live in history if live.git_commit_sha.startswith(wanted)})
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{live.git_commit_sha[:12]} ({live.version})" for live in history) or "nothing"
    which = "Several commits" if found else "No commit"
    raise CliError(f"{which} of those that were live in {environment} of {service} begin(s) with {commit}: {known}.")
