"""`hybridci repair`: job, deploy, environment. Exit codes: see ``common``."""

from typing import Annotated, Any

import typer

from api.cli.client.connection import USAGE, CliError
from api.cli.client.http import DEPLOYMENTS, JOBS, ApiClient
from api.cli.commands.common import AsJson, DataDir, JobId, example, open_api, sub_app
from api.cli.commands.deployments.lookup import DeploymentArgument, find_deployment
from api.cli.commands.deployments.requests import Why, service_path
from api.cli.output import print_json, say

app = sub_app("Let workflows go on that cannot (`hybridci health` lists them), or end them. Nothing is run twice.")

End = Annotated[bool, typer.Option("--end", help="Do not try to let it go on.")]


@app.command(epilog=example('hybridci repair job 3f2a9c01 --reason "outage of the store"'))
def job(job_id: JobId, reason: Why, end: End = False, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Let a job go on from its last good task, or end it as an error when a command would run twice."""
    with open_api(data_dir) as api:
        _repair(api, f"{JOBS}/{api.find_job_id(job_id)}", reason, end=end, as_json=as_json)


@app.command(epilog=example('hybridci repair deploy checkout@1.4.2 --reason "outage of the store"'))
def deploy(
    deployment: DeploymentArgument, reason: Why, end: End = False, as_json: AsJson = False, data_dir: DataDir = None
) -> None:
    """Let a deployment go on from its last good task, or end it and free its environment; what is live stays live."""
    with open_api(data_dir) as api:
        _repair(api, f"{DEPLOYMENTS}/{find_deployment(api, deployment)}", reason, end=end, as_json=as_json)


@app.command(epilog=example('hybridci repair environment checkout/production --reason "outage of the store"'))
def environment(
    name: Annotated[str, typer.Argument(metavar="SERVICE/ENVIRONMENT", help="Such as checkout/production.")],
    reason: Why,
    end: End = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Let an environment's lock go on from its last good task, or start it anew from its record."""
    service, slash, own = name.partition("/")
    if not (slash and service and own):
        raise CliError(f"{name!r} names no environment: write SERVICE/ENVIRONMENT, such as checkout/production.", USAGE)
    with open_api(data_dir) as api:
        _repair(api, service_path(service, "environments", own), reason, end=end, as_json=as_json)


def _repair(api: ApiClient, path: str, reason: str, *, end: bool, as_json: bool) -> None:
    answer: Any = api.request("POST", f"{path}/repair", body={"reason": reason, "end": end})
    if as_json:
        print_json(answer)
    else:
        say(f"{answer['outcome']}: {answer['message']}")
