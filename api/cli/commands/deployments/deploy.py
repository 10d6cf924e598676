"""`hybridci deploy`: start, list, show, watch, events, metrics, record, and what ``steering`` and ``rollback`` add.

Exit codes: see ``common``; watching exits with 0 for live or superseded, 1 for failed or rolled back.
"""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from api.cli.client.connection import USAGE, CliError
from api.cli.client.http import DEPLOYMENTS, ApiClient
from api.cli.client.submit import parse_pairs
from api.cli.commands.common import All, AsJson, Cursor, DataDir, Limit, example, open_api, sub_app
from api.cli.commands.deployments import bans as deploy_bans
from api.cli.commands.deployments import lanes as deploy_lanes
from api.cli.commands.deployments import rollback as deploy_rollback
from api.cli.commands.deployments import steering as deploy_steering
from api.cli.commands.deployments.lookup import DeploymentArgument, can_roll_back, find_deployment, is_on_its_way
from api.cli.commands.deployments.output import print_deployment, print_events, print_samples, show_deployments
from api.cli.commands.deployments.requests import (
    As,
    ServiceArgument,
    command_deployment,
    given,
    service_path,
    tell_deployment,
)
from api.cli.commands.deployments.source import SourceOptions, git_fields
from api.cli.commands.deployments.view import title
from api.cli.commands.deployments.watch import watch as watch_deployment
from api.cli.commands.stuck import tell_if_stuck
from api.cli.numbers import finite, number
from api.cli.output import note, print_json, say
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.deployments.deployment import Deployment, DeploymentStatus
from workflows.contracts.deployments.services import PRODUCTION, STAGING, Service
from workflows.contracts.ids import deployment_workflow_id
from workflows.contracts.repairs import Kind

app = sub_app("Deploy versions of services, watch them, approve them, roll them back.")
app.add_typer(deploy_steering.app)
app.add_typer(deploy_bans.app)
app.add_typer(deploy_rollback.app)
app.add_typer(deploy_lanes.app)

Watch = Annotated[bool, typer.Option("--watch", help="Watch it until it is live or has ended; exit 0 for live.")]


@app.command(
    epilog=example(
        "hybridci deploy start checkout --version 1.4.2 --watch",
        "hybridci deploy start checkout --version 1.4.2 --sha 9f1c… --author ann@example.com",
        'hybridci deploy start checkout --version 1.3.9 --sha 8e0b… --allow-older --reason "1.4 waits for the law"',
    )
)
def start(
    service: ServiceArgument,
    version: Annotated[str, typer.Option(help="What this version is called.")],
    repo: Annotated[
        str | None, typer.Option(help="Folder of a git repository, or a URL. Default: this folder, else the service's.")
    ] = None,
    sha: Annotated[str | None, typer.Option("--sha", "--commit", help="Commit. Default: what is checked out.")] = None,
    ref: Annotated[str | None, typer.Option(help="Branch or tag.")] = None,
    author: Annotated[
        str | None, typer.Option(help="Who wrote it, and may not approve it. Default: the commit's author.")
    ] = None,
    message: Annotated[str | None, typer.Option(help="Default: the commit's message.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Kept with it.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key returns the same deployment.")] = None,
    allow_older: Annotated[
        bool, typer.Option("--allow-older", help="Go on though its commit is older than what is there; with --reason.")
    ] = False,
    lift_ban: Annotated[bool, typer.Option("--lift-ban", help="Lift its ban, if it is banned; with --reason.")] = False,
    reason: Annotated[str | None, typer.Option(help="Why, for --allow-older and --lift-ban.")] = None,
    watch: Watch = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Start the deployment of one commit of a service, as its environments are defined now."""
    options = SourceOptions(repo=repo, sha=sha, ref=ref, author=author, message=message)
    on_purpose = {"allow_older": allow_older, "lift_ban": lift_ban}
    if any(on_purpose.values()) != (reason is not None):
        raise CliError("--allow-older and --lift-ban need --reason, and --reason is for them only.", USAGE)
    with open_api(data_dir) as api:
        fields = git_fields(options, lambda: _repository(api, service), warn=lambda text: note(f"Warning: {text}"))
        body = {"service_name": service, "version": version, **fields}
        body |= {name: {"reason": reason} for name, wanted in on_purpose.items() if wanted}
        if metadata:
            body["metadata"] = parse_pairs(metadata, "--metadata")
        record: Any = api.create(DEPLOYMENTS, body, idempotency_key=idempotency_key)
        deployment = Deployment.model_validate(record)
        if not as_json:
            say(deployment.deployment_id)
            _tell_start(api, deployment, watched=watch)
        elif not watch:
            print_json(record)
        if watch:
            raise typer.Exit(watch_deployment(api, deployment.deployment_id, as_json=as_json))


@app.command("list", epilog=example("hybridci deploy list --service checkout", "hybridci deploy list --status live"))
def list_deployments(
    service: Annotated[str | None, typer.Option(help="Only those of this service.")] = None,
    status: Annotated[DeploymentStatus | None, typer.Option(help="Only those in this state.")] = None,
    branch: Annotated[str | None, typer.Option(help="Only those of this branch.")] = None,
    commit: Annotated[str | None, typer.Option(help="Only those of this commit, its whole id.")] = None,
    author: Annotated[str | None, typer.Option(help="Only those whose commit is this person's.")] = None,
    waits: Annotated[
        bool, typer.Option("--waits", help="Only those that wait: for a person, their turn, a time.")
    ] = False,
    limit: Limit = 20,
    cursor: Cursor = None,
    everything: All = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List deployments, newest first."""
    with open_api(data_dir) as api:
        filters = {"service_name": service, "status": status, "branch": branch, "commit": commit, "author": author}
        filters |= {"waits": "true"} if waits else {}
        page = api.page(DEPLOYMENTS, filters, limit=None if everything else limit, cursor=cursor)
    show_deployments(page, as_json=as_json, everything=everything)


@app.command(epilog=example("hybridci deploy show checkout", "hybridci deploy show checkout@1.4.2"))
def show(deployment: DeploymentArgument, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show one deployment: where it stands, what it waits for, why it failed and what to do next."""
    with open_api(data_dir) as api:
        record: Any = api.get(f"{DEPLOYMENTS}/{find_deployment(api, deployment)}")
        if as_json:
            print_json(record)
        else:
            shown = Deployment.model_validate(record)
            print_deployment(shown, api)
            if not shown.closed:
                tell_if_stuck(api, Kind.DEPLOYMENT, shown.deployment_id)


@app.command(epilog=example("hybridci deploy watch checkout"))
def watch(deployment: DeploymentArgument, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Watch a deployment until it is live or has ended, with the command that moves it where it waits.

    Exits with 0 when it is live or superseded, with 1 when it failed or was rolled back.
    """
    with open_api(data_dir) as api:
        deployment_id = find_deployment(api, deployment, prefer=is_on_its_way)
        raise typer.Exit(watch_deployment(api, deployment_id, as_json=as_json))


@app.command(epilog=example("hybridci deploy events checkout@1.4.2"))
def events(
    deployment: DeploymentArgument,
    limit: Limit = 100,
    everything: All = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Who did what with a deployment, when, from where and why; oldest first (with --json as the API has it)."""
    with open_api(data_dir) as api:
        path = f"{DEPLOYMENTS}/{find_deployment(api, deployment)}/events"
        page = api.page(path, {}, limit=None if everything else limit)
    if as_json:
        print_json(page["items"] if everything else page)
        return
    print_events([AuditEvent.model_validate(item) for item in reversed(page["items"])])
    if page["next_cursor"]:
        note("There are older ones: --limit N or --all shows them.")


@app.command(epilog=example("hybridci deploy metrics checkout --error-rate 0.002 --latency-ms 84"))
def metrics(
    deployment: DeploymentArgument,
    error_rate: Annotated[
        float | None, typer.Option(min=0, max=1, callback=finite, help="Share of failing requests, 0 to 1.")
    ] = None,
    latency_ms: Annotated[float | None, typer.Option(min=0, callback=finite, help="Milliseconds.")] = None,
    requests_per_sec: Annotated[float | None, typer.Option(min=0, callback=finite, help="Requests a second.")] = None,
    value: Annotated[
        list[str] | None, typer.Option(metavar="NAME=NUMBER", help="Any other metric. Repeatable.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Who measured: tells reporters of one metric apart.")] = None,
    metric: Annotated[str | None, typer.Option(help="List the samples of this metric only.")] = None,
    limit: Limit = 50,
    by: As = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Report a sample of metrics, which is judged by the limits of the service's verification; with nothing to report,
    list the samples, newest first.
    """
    own = {"error_rate": error_rate, "latency_ms": latency_ms, "requests_per_sec": requests_per_sec}
    sample = given({**own, "metrics": _named_values(value or []) or None})
    with open_api(data_dir) as api:
        deployment_id = find_deployment(api, deployment, prefer=can_roll_back)
        if not sample:
            path = f"{DEPLOYMENTS}/{deployment_id}/metrics"
            print_samples(api.page(path, given({"metric": metric, "source": source}), limit=limit), as_json=as_json)
            return
        command_deployment(api, deployment_id, "metrics", given({**sample, "source": source, "by": by}))
        note(f"Reported. What became of it: `{api.command(f'deploy show {deployment_id}')}`.")


@app.command(epilog=example("hybridci deploy record checkout@1.4.2 staging --job-id jenkins-812"))
def record(
    deployment: DeploymentArgument,
    environment: Annotated[str, typer.Argument(metavar="ENVIRONMENT", help="An external environment.")],
    job_id: Annotated[str, typer.Option(help="The job of the other CI.")],
    failed: Annotated[bool, typer.Option("--failed", help="It did not succeed.")] = False,
    message: Annotated[str | None, typer.Option(help="What it said; kept in the trail.")] = None,
    by: As = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Record what another CI did in an environment that is marked external."""
    body = {"job_id": job_id, "status": "failed" if failed else "success", "message": message, "by": by}
    with open_api(data_dir) as api:
        deployment_id = find_deployment(api, deployment, prefer=is_on_its_way)
        own = environment in (STAGING, PRODUCTION)
        action = environment if own else f"environments/{quote(environment, safe='')}"
        answer = command_deployment(api, deployment_id, action, body)
        what = f"job {job_id} recorded as {'failed' if failed else 'successful'} in {environment}"
        tell_deployment(api, answer, what, as_json=as_json)


def _named_values(values: list[str]) -> dict[str, float]:
    """``name=number``. Raises CliError."""
    found: dict[str, float] = {}
    for each in values:
        name, _, text = each.partition("=")
        if (value := number(text)) is None:
            raise CliError(f"--value {each}: write NAME=NUMBER, such as --value queue_depth=12.", USAGE)
        found[name] = value
    return found


def _repository(api: ApiClient, service: str) -> str:
    return Service.model_validate(api.get(service_path(service))).spec.git_repo


def _tell_start(api: ApiClient, deployment: Deployment, *, watched: bool) -> None:
    """Where to look at it."""
    ref = f" ({deployment.git_ref})" if deployment.git_ref else ""
    note(f"{title(deployment)}: commit {deployment.git_commit_sha[:12]}{ref} by {deployment.git_author}.")
    workflow_id = deployment_workflow_id(deployment.service_name, deployment.version, deployment.deployment_id)
    note(f"Workflow {workflow_id}")
    if api.connection.temporal_ui is not None:
        note(f"Temporal UI: {api.connection.temporal_ui}/namespaces/default/workflows/{quote(workflow_id, safe='')}")
    if not watched:
        note(f"Watch it with `{api.command(f'deploy watch {deployment.deployment_id}')}`.")
