"""`hybridci dlq`: list, show, edit, redrive, discard dead letters. Exit codes: see ``common``."""

import sys
from typing import Annotated, Any, cast

import typer

from api.cli.client.connection import REFUSED, USAGE, CliError
from api.cli.client.http import DEAD_LETTERS, ApiClient, Params
from api.cli.client.submit import parse_duration, parse_pairs
from api.cli.commands.audit import Since, Until, times
from api.cli.commands.bulk import watch_redrive
from api.cli.commands.common import (
    All,
    AsJson,
    Cursor,
    DataDir,
    JobId,
    JobIds,
    Limit,
    PriorityOption,
    Reason,
    example,
    for_each,
    open_api,
    sub_app,
)
from api.cli.commands.step_edits import with_commands
from api.cli.commands.tables import print_dead_letters, show_page, show_record
from api.cli.commands.waiting import wait_for_job
from api.cli.output import note, print_json, say
from workflows.contracts.jobs import Job

app = sub_app("Dead letters: jobs whose tries are used up, kept until you redrive or discard them.")

Pool = Annotated[str | None, typer.Option("--pool", help="Only those of this pool.")]
JobType = Annotated[str | None, typer.Option("--type", help="Only those of this type.")]
Cause = Annotated[str | None, typer.Option("--cause", help="Only those that died of this, such as agent_lost.")]
Service = Annotated[str | None, typer.Option("--service", help="Only those of this service: their label `service`.")]
Repo = Annotated[str | None, typer.Option("--repo", help="Only those of this repository's URL.")]


@app.command("list", epilog=example("hybridci dlq list --cause exit_code"))
def list_dead_letters(
    pool: Pool = None,
    job_type: JobType = None,
    cause: Cause = None,
    repo: Repo = None,
    service: Service = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    everything: All = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List dead letters, newest first."""
    asked: Params = {"pool": pool, "job_type": job_type, "cause": cause, "service": service, **times(since, until)}
    with open_api(data_dir) as api:
        page = api.page(
            DEAD_LETTERS,
            asked,
            limit=None if everything else limit,
            cursor=cursor,
            keep=None if repo is None else lambda item: item.get("git_repo") == repo,
        )
    show_page(page, print_dead_letters, as_json=as_json, everything=everything)


@app.command(epilog=example("hybridci dlq show 3f2a9c01"))
def show(job_id: JobId, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show one dead letter: every attempt, why it died, what to do next."""
    with open_api(data_dir) as api:
        show_record(api.get(f"{DEAD_LETTERS}/{_find(api, job_id)}"), api, as_json=as_json)


@app.command(
    epilog=example(
        "hybridci dlq edit 3f2a9c01 --pool big --timeout 2h --env DEBUG=1 --unset-env CACHE",
        "hybridci dlq edit 3f2a9c01 --step 'test=pytest -q -x' --sha 9f1c2d3e4b5a69788796a5b4c3d2e1f009182736",
    )
)
def edit(
    job_id: JobId,
    pool: Annotated[str | None, typer.Option(help="Run it in this pool.")] = None,
    priority: PriorityOption = None,
    timeout: Annotated[str | None, typer.Option(help="For each attempt: seconds, or 15m, 2h.")] = None,
    env: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Set a variable.")] = None,
    unset_env: Annotated[list[str] | None, typer.Option(metavar="KEY", help="Remove a variable.")] = None,
    max_attempts: Annotated[int | None, typer.Option(min=1, max=50, help="Tries for a failing command.")] = None,
    run: Annotated[
        list[str] | None,
        typer.Option("--run", metavar="COMMAND", help="What its steps run; one for each step, in order."),
    ] = None,
    step: Annotated[
        list[str] | None,
        typer.Option("--step", metavar="NAME=COMMAND", help="What the step of this name runs; repeatable."),
    ] = None,
    sha: Annotated[
        str | None, typer.Option("--sha", metavar="SHA", help="Run it on this commit: all 40 characters.")
    ] = None,
    ref: Annotated[
        str | None, typer.Option("--ref", metavar="REF", help="The branch or tag that the commit is on.")
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Change a dead letter; it stays parked, and the changes count from its next redrive.

    What it runs, and the commit, ask for the right to submit jobs as well. A deployment's jobs are never changed.
    """
    changes: dict[str, Any] = {
        "pool": pool,
        "priority": priority,
        "timeout_seconds": None if timeout is None else parse_duration(timeout, "--timeout"),
        "env": {**parse_pairs(env or (), "--env"), **dict.fromkeys(unset_env or ())} or None,
        "max_attempts": max_attempts,
        "git_commit_sha": sha,
        "git_ref": ref,
    }
    body = {name: value for name, value in changes.items() if value is not None}
    if not (body or run or step):
        raise CliError(
            "Nothing to change: give --pool, --priority, --timeout, --env, --unset-env, --max-attempts, --run, --step,"
            " --sha or --ref.",
            USAGE,
        )
    with open_api(data_dir) as api:
        full_id = _find(api, job_id)
        if run or step:
            parked = Job.model_validate(api.get(f"{DEAD_LETTERS}/{full_id}"))
            steps = with_commands(parked.steps, run or [], step or [])
            body["steps"] = [each.model_dump(mode="json", exclude_defaults=True) for each in steps]
        record: Any = api.request("PATCH", f"{DEAD_LETTERS}/{full_id}", body=body)
        if as_json:
            print_json(record)
            return
        say(f"{full_id}: changed ({', '.join(body)})")
        note(f"Run it again with `{api.command(f'dlq redrive {full_id}')}`.")


@app.command(
    epilog=example("hybridci dlq redrive 3f2a9c01 --wait", "hybridci dlq redrive --pool linux --canary 2 --wait")
)
def redrive(
    job_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID...]", help="Which; or choose with options.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
    pool: Pool = None,
    job_type: JobType = None,
    cause: Cause = None,
    repo: Repo = None,
    service: Service = None,
    since: Since = None,
    until: Until = None,
    canary: Annotated[
        int | None, typer.Option(min=1, max=100, help="So many first; the rest only when these succeed.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, oldest first.")] = 1000,
    reason: Reason = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. Without a terminal nothing is asked.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="One ID: follow its log. Many: show how far it is.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Run dead letters again with fresh tries: some by id, or many by filter, if you like with canaries first."""
    chosen: Params = {"pool": pool, "job_type": job_type, "cause": cause, "git_repo": repo, "service": service}
    chosen = {**chosen, **times(since, until)}
    filters: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
    if bool(job_ids) == bool(filters or everything):
        raise CliError(
            "Say which dead letters: either IDs, or --all, --pool, --type, --cause, --repo, --service, --since,"
            " --until.",
            USAGE,
        )
    with open_api(data_dir) as api:
        ids = [_find(api, text) for text in job_ids or []]
        if ids and canary is None and (len(ids) == 1 or not wait):
            _redrive_each(api, ids, reason, wait=wait, as_json=as_json)
            return
        if not ids and not yes and sys.stdin.isatty() and sys.stderr.isatty():
            what = " and ".join(f"{name} {value}" for name, value in filters.items()) or "any kind"
            typer.confirm(f"Redrive the dead letters of {what}, at most {limit}?", abort=True, err=True)
        body: dict[str, Any] = {"filter": filters | ({"job_ids": ids} if ids else {}), "limit": limit}
        body |= {} if canary is None else {"canary": {"count": canary}}
        body |= {} if reason is None else {"reason": reason}
        _redrive_many(api, body, wait=wait, as_json=as_json)


@app.command(epilog=example('hybridci dlq discard 3f2a9c01 --reason "obsolete"'))
def discard(job_ids: JobIds, reason: Reason = None, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Give dead letters up: each gets the final status of its cause; records and logs stay."""
    with open_api(data_dir) as api:

        def act(text: str) -> Any:
            body = {} if reason is None else {"reason": reason}
            return api.request("DELETE", f"{DEAD_LETTERS}/{_find(api, text)}", body=body)

        for_each(job_ids, act, _tell, as_json=as_json)


def _find(api: ApiClient, text: str) -> str:
    return api.find_job_id(text, path=DEAD_LETTERS)


def _tell(record: Any) -> None:
    job = Job.model_validate(record)
    say(f"{job.job_id}: {job.status}")


def _redrive_each(api: ApiClient, ids: list[str], reason: str | None, *, wait: bool, as_json: bool) -> None:
    def act(job_id: str) -> Any:
        body = {} if reason is None else {"reason": reason}
        return api.request("POST", f"{DEAD_LETTERS}/{job_id}/redrive", body=body)

    if not wait:
        for_each(ids, act, _tell, as_json=as_json)
        return
    job = Job.model_validate(act(ids[0]))
    tried = job.attempts[-1].number if job.attempts else 0
    raise typer.Exit(wait_for_job(api, job, as_json=as_json, first=tried + 1))


def _redrive_many(api: ApiClient, body: dict[str, Any], *, wait: bool, as_json: bool) -> None:
    started = cast(dict[str, Any], api.create(f"{DEAD_LETTERS}/redrive", body))
    redrive_id = str(started["redrive_id"])
    if not wait:
        if as_json:
            print_json(started)
        else:
            say(redrive_id)
            note("Started. The jobs are queued in the background: see `hybridci dlq list` and `hybridci job list`.")
        return
    if not watch_redrive(api, redrive_id, as_json=as_json):
        raise typer.Exit(REFUSED)
