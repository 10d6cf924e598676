"""`hybridci job`: submit, list, show, logs, search, cancel, retry, artifacts, download. Exit codes: see ``common``."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, cast

import typer

from api.cli.client.connection import USAGE, CliError
from api.cli.client.http import JOBS, ApiClient, Params
from api.cli.client.submit import SubmitOptions, build_body
from api.cli.client.submit_files import parse_inputs
from api.cli.commands.audit import Since, Until, times
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
from api.cli.commands.stuck import tell_if_stuck
from api.cli.commands.tables import print_jobs, show_page, show_record
from api.cli.commands.waiting import copy_log, wait_for_job
from api.cli.numbers import whole
from api.cli.output import Column, age, clock, note, print_json, print_table, say, size
from workflows.contracts.jobs import ArtifactRef, Job
from workflows.contracts.repairs import Kind
from workflows.contracts.statuses import JobStatus
from workflows.contracts.workspace.globs import IfNone
from workflows.contracts.workspace.step_rules import MOST_GRACE_SECONDS, CancelSignal

app = sub_app("Submit jobs, watch them, stop them.")

Wait = Annotated[bool, typer.Option("--wait", help="Follow the log and exit with the job's own exit code.")]
_MOST_STEPS: Final = 100
AttemptNumber = Annotated[int | None, typer.Option("--attempt", min=1, help="Which attempt; the last by default.")]


@app.command(
    epilog=example(
        'hybridci job submit --repo . --run "pytest -q" --wait',
        "hybridci job submit --run ./test.sh --input 'branch=main,type=build,path=in:dist/*'",
        "hybridci job submit -F job.yaml",
    )
)
def submit(
    repo: Annotated[
        str | None, typer.Option(help="Folder of a git repository, or a URL. Default: this folder.")
    ] = None,
    run: Annotated[list[str] | None, typer.Option(help="A command; repeat it for several steps.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-F", help="A job in YAML or JSON; - reads stdin.")] = None,
    ref: Annotated[str | None, typer.Option(help="Branch or tag to run. Default: what is checked out.")] = None,
    commit: Annotated[str | None, typer.Option(help="Commit to run.")] = None,
    author: Annotated[str | None, typer.Option(help="Who is to be named. Default: the commit's author.")] = None,
    name: Annotated[list[str] | None, typer.Option(help="Name of the step at the same place as --run.")] = None,
    job_type: Annotated[str | None, typer.Option("--type", help="What kind of job. Default: command.")] = None,
    pool: Annotated[str | None, typer.Option(help="Pool of agents that may run it.")] = None,
    priority: PriorityOption = None,
    env: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Environment variable.")] = None,
    secret: Annotated[list[str] | None, typer.Option(help="Name of a secret that the agent resolves.")] = None,
    artifact: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Files to keep; '!x' leaves some out.")
    ] = None,
    artifacts_if_none: Annotated[
        IfNone | None, typer.Option(help="What becomes of the job when there are none. Default: warn.")
    ] = None,
    artifacts_expire: Annotated[
        str | None, typer.Option(metavar="TIME", help="So long after its end they are kept: 12h, 7d, 4w.")
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="JOB[:GLOB]",
            help="Files of another job to begin with: of its id, or branch=main,type=build; path=DIR puts them there.",
        ),
    ] = None,
    timeout: Annotated[str | None, typer.Option(help="For each attempt: seconds, or 15m, 2h.")] = None,
    retries: Annotated[
        int | None,
        typer.Option(min=0, max=49, help="Further tries when a command fails: 0 fails at once. Default: 2."),
    ] = None,
    label: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Label.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Tag.")] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL", help="Label of the agent: os=linux, gpu=*, '!spot'. Repeatable: all must hold."),
    ] = None,
    checkout: Annotated[
        list[str] | None,
        typer.Option(metavar="WORD", help="submodules, tags, lfs, depth=1, filter=blob:none, path=DIR, or none."),
    ] = None,
    expand: Annotated[bool, typer.Option("--expand", help="$NAME in values of --env is what the step sees.")] = False,
    cancel_signal: Annotated[
        CancelSignal | None, typer.Option(help="What its processes get first when it is to end. Default: INT.")
    ] = None,
    cancel_grace: Annotated[
        int | None, typer.Option(min=0, max=MOST_GRACE_SECONDS, help="Seconds from that to the kill. Default: 10.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="If its agent is lost, go on behind the last finished step.")
    ] = False,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key returns the same job.")] = None,
    wait: Wait = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Submit a job: commands that an agent runs in a fresh checkout of one commit."""
    options = SubmitOptions(
        repo=repo, ref=ref, commit=commit, author=author, run=run or (), name=name or (), job_type=job_type, pool=pool,
        priority=priority, env=env or (), secret=secret or (), artifact=artifact or (), timeout=timeout,
        retries=retries, label=label or (), tag=tag or (), require=require or (), checkout=checkout or (),
        expand=expand, cancel_signal=cancel_signal, cancel_grace=cancel_grace, resume=resume, file=file,
        artifacts_if_none=artifacts_if_none, artifacts_expire=artifacts_expire,
    )  # fmt: skip
    with open_api(data_dir) as api:
        options = replace(options, inputs=parse_inputs(inputs or (), api.find_job_id))
        body = build_body(options, warn=lambda text: note(f"Warning: {text}"))
        if str(body.get("git_repo", "")).startswith("file://") and not api.connection.local:
            note("Warning: agents on other machines cannot read a repository of this one; give its URL with --repo.")
        _created(api, api.create(JOBS, body, idempotency_key=idempotency_key), wait=wait, as_json=as_json)


@app.command(
    "list",
    epilog=example(
        "hybridci job list --status failed --limit 20",
        "hybridci job list --repo . --branch main --author ann@example.com",
    ),
)
def list_jobs(
    status: Annotated[JobStatus | None, typer.Option(help="Only jobs in this state.")] = None,
    pool: Annotated[str | None, typer.Option(help="Only jobs of this pool.")] = None,
    job_type: Annotated[str | None, typer.Option("--type", help="Only jobs of this type.")] = None,
    agent: Annotated[str | None, typer.Option(help="Only jobs that this agent ran last.")] = None,
    repo: Annotated[
        str | None, typer.Option(help="Only jobs of this repository: any of its URLs, or a folder.")
    ] = None,
    branch: Annotated[str | None, typer.Option(help="Only jobs of this branch.")] = None,
    commit: Annotated[str | None, typer.Option(help="Only jobs of this commit: its id, or how it begins.")] = None,
    id_start: Annotated[str | None, typer.Option("--id", help="Only jobs whose id begins so.")] = None,
    cause: Annotated[str | None, typer.Option(help="Only jobs that ended of this, such as agent_lost.")] = None,
    since: Since = None,
    until: Until = None,
    service: Annotated[str | None, typer.Option(help="Only jobs of this service: their label `service`.")] = None,
    author: Annotated[str | None, typer.Option(help="Only jobs whose commit is this person's.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Only jobs with this label; some can be asked for.")
    ] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    everything: All = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List jobs, newest first."""
    filters: Params = {
        "status": status, "pool": pool, "job_type": job_type, "agent_id": agent, "repository": _repository(repo),
        "branch": branch, "commit": commit, "service": service, "author": author, "label": label or None,
        "job_id": id_start, "cause": cause, **times(since, until),
    }  # fmt: skip
    with open_api(data_dir) as api:
        page = api.page(JOBS, filters, limit=None if everything else limit, cursor=cursor)
    show_page(page, print_jobs, as_json=as_json, everything=everything)


@app.command(epilog=example("hybridci job show 3f2a9c01"))
def show(job_id: JobId, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show one job: where it stands, its attempts, why it died and what to do next."""
    with open_api(data_dir) as api:
        record: Any = api.get(f"{JOBS}/{api.find_job_id(job_id)}")
        show_record(record, api, as_json=as_json)
        if not as_json and not JobStatus(record["status"]).final:
            tell_if_stuck(api, Kind.JOB, record["job_id"])


@app.command(
    epilog=example(
        "hybridci job logs -f 3f2a9c01",
        "hybridci job logs 3f2a9c01 --attempt all > job.log",
        "hybridci job logs 3f2a9c01 --lines 123456-123500",
        "hybridci job logs -f 3f2a9c01 --since 10m --grep error",
        "hybridci job logs 3f2a9c01 --step test --timestamps",
    )
)
def logs(
    job_id: JobId,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the job has ended.")] = False,
    attempt: Annotated[str | None, typer.Option(metavar="N|all", help="Which attempt. Default: the last.")] = None,
    lines: Annotated[
        str | None,
        typer.Option(metavar="A-B", help="Only these: 7-9, 7- (to the end), 7, -7 (the last seven), -7--3."),
    ] = None,
    tail: Annotated[int | None, typer.Option(min=1, metavar="N", help="Only the last so many lines.")] = None,
    since: Since = None,
    grep: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only the lines with it; exits with 1 when there is none.")
    ] = None,
    step: Annotated[
        str | None, typer.Option(metavar="NAME|N", help="Only this step's part: its name, or its number from 1 on.")
    ] = None,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="The time before each line.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="All bytes, to a terminal too.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Print a job's log: to a terminal its text and colours, elsewhere byte for byte.

    With -f, from the current attempt on, also across lost connections. The API finds what is asked for: a part of a
    long log is not read as a whole.
    """
    from api.cli.commands.searching import Grep, grep_log, step_part

    number = None if attempt in (None, "all", "last") else _attempt_number(attempt)
    moment = times(since, None)["since"]
    parts = [name for name, value in (("--lines", lines), ("--tail", tail), ("--step", step)) if value is not None]
    if len(parts) > 1:
        raise CliError(f"{' and '.join(parts)} name parts of a log: give one of them.", USAGE)
    if attempt == "all" and (parts or since or grep is not None):
        raise CliError(f"{(parts or ['--since' if since else '--grep'])[0]} is of one attempt: name one.", USAGE)
    place = None if step is None else whole(step)
    if place is not None and not 1 <= place <= _MOST_STEPS:
        raise CliError(f"--step {step} is no step: the first is 1, the last {_MOST_STEPS} at most.", USAGE)
    if grep is not None and (timestamps or lines or step):
        raise CliError("--grep goes with --since, --tail and -f only: `job search` says in which lines it is.", USAGE)
    with open_api(data_dir) as api:
        full_id = api.find_job_id(job_id)
        if grep is not None:
            wanted = Grep(grep, cast(int | None, moment), tail, number)
            if not grep_log(api, full_id, wanted, follow=follow, raw=raw) and not follow:
                raise typer.Exit(1)
            return
        asked: dict[str, Any] = {"lines": lines if tail is None else f"-{tail}", "since": moment}
        if step is not None:
            asked |= step_part(api, full_id, number, step) if place is None else {"step": place}
        copy_log(
            api, full_id, number=number, every=attempt == "all", follow=follow, timestamps=timestamps, raw=raw,
            part={name: value for name, value in asked.items() if value is not None},
        )  # fmt: skip


@app.command(
    epilog=example(
        'hybridci job search 3f2a9c01 "connection refused"', 'hybridci job search 3f2a9c01 "FAIL(ED)?" --regex'
    )
)
def search(
    job_id: JobId,
    pattern: Annotated[str, typer.Argument(metavar="TEXT", help="What to look for, taken as it is.")],
    regex: Annotated[bool, typer.Option("--regex", "-E", help="TEXT is an expression of RE2.")] = False,
    ignore_case: Annotated[bool, typer.Option("--ignore-case", "-i", help="Upper and lower case alike.")] = False,
    attempt: AttemptNumber = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="So many lines are shown; all are counted.")] = 100,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Find the lines of a job's log in which a text is: exits with 1 when there is none."""
    from api.cli.commands.searching import search_log

    asked = {"regex" if regex else "text": pattern, "ignore_case": "true" if ignore_case else None, "attempt": attempt}
    with open_api(data_dir) as api:
        found = search_log(api, api.find_job_id(job_id), asked, limit, as_json=as_json)
    if not found:
        raise typer.Exit(1)


@app.command(epilog=example('hybridci job cancel 3f2a9c01 --reason "wrong branch"'))
def cancel(job_ids: JobIds, reason: Reason = None, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Stop jobs: a queued one at once, a running one within seconds (interrupt, 10 s, kill)."""
    with open_api(data_dir) as api:

        def act(text: str) -> Any:
            body = {} if reason is None else {"reason": reason}
            return api.request("POST", f"{JOBS}/{api.find_job_id(text)}/cancel", body=body)

        def tell(record: Any) -> None:
            job = Job.model_validate(record)
            say(f"{job.job_id}: {'cancelled' if job.status.ended else 'is being cancelled'}")

        for_each(job_ids, act, tell, as_json=as_json)


@app.command(epilog=example("hybridci job retry 3f2a9c01 --wait"))
def retry(job_id: JobId, wait: Wait = False, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Run an ended job again, as a new job with the same specification; a dead letter is redriven itself."""
    with open_api(data_dir) as api:
        full_id = api.find_job_id(job_id)
        record: Any = api.create(f"{JOBS}/{full_id}/retry", None)
        again = Job.model_validate(record)
        tried = again.attempts[-1].number if again.attempts and again.job_id == full_id else 0
        _created(api, record, wait=wait, as_json=as_json, first=tried + 1)


@app.command(epilog=example("hybridci job artifacts 3f2a9c01"))
def artifacts(job_id: JobId, attempt: AttemptNumber = None, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List the files that a job left behind."""
    with open_api(data_dir) as api:
        listed: Any = api.get(f"{JOBS}/{api.find_job_id(job_id)}/artifacts", {"attempt": attempt})
    if as_json:
        print_json(listed)
        return
    found = [ArtifactRef.model_validate(item) for item in listed["items"]]
    if not found:
        say("No artifacts.")
        return
    columns = (Column("PATH", key=True), Column("SIZE", right=True), Column("SHA256"))
    print_table(columns, [(ref.path, size(ref.size), ref.sha256) for ref in found])
    if listed.get("expires_at"):
        note(f"Kept until {clock(listed['expires_at'])}: {age(listed['expires_at'])}.")


@app.command(
    epilog=example(
        "hybridci job download 3f2a9c01 dist/shop.whl -o shop.whl",
        "hybridci job download 3f2a9c01 'dist/**' -o kept",
        "hybridci job download 3f2a9c01 --all -o dist.zip",
        "hybridci job download --branch main --type build --repo . 'dist/*.whl'",
    )
)
def download(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID] [PATH]",
            help="The job, unless --branch is given, and a path or a glob of artifacts, unless --all is.",
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All artifacts, as one ZIP file.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where to; of a glob the folder. - is stdout.")
    ] = None,
    branch: Annotated[str | None, typer.Option(help="Of the newest job of this branch that succeeded.")] = None,
    job_type: Annotated[str | None, typer.Option("--type", help="With --branch: only jobs of this type.")] = None,
    repo: Annotated[str | None, typer.Option(help="With --branch: only jobs of this repository.")] = None,
    attempt: AttemptNumber = None,
    data_dir: DataDir = None,
) -> None:
    """Download one artifact, or all that a glob means with their folders."""
    from api.cli.commands.downloading import download_artifacts, download_to, newest_success

    given = names or []
    if len(given) != (branch is None) + (not everything):
        raise CliError("Give a job, or --branch, and a path or glob, or --all.", USAGE)
    if branch is None and (job_type or repo):
        raise CliError("--type and --repo say which job of a branch is meant: give --branch as well.", USAGE)
    with open_api(data_dir) as api:
        if branch is None:
            job_id = api.find_job_id(given[0])
        else:
            job_id = newest_success(api, branch=branch, job_type=job_type, repository=_repository(repo))
            note(f"The newest job of {branch} that succeeded is {job_id}.")
        if everything:
            name = f"job-{job_id[:8]}.zip" if output is None else str(output)
            download_to(api, f"{JOBS}/{job_id}/artifacts.zip", attempt, name)
        else:
            download_artifacts(api, f"{JOBS}/{job_id}/artifacts", given[-1], output, attempt)


def _created(api: ApiClient, record: Any, *, wait: bool, as_json: bool, first: int = 1) -> None:
    """Say what was created; with ``wait`` follow it and exit with its code."""
    job = Job.model_validate(record)
    if not wait:
        if as_json:
            print_json(record)
        else:
            say(job.job_id)
            note(f"Submitted. Follow it with `{api.command(f'job logs -f {job.job_id}')}`.")
    if (waits_for := record.get("waits_for")) is not None and not as_json:
        note(f"It {waits_for if waits_for.startswith('waits ') else f'waits: {waits_for}'}.")
    if not wait:
        return
    raise typer.Exit(wait_for_job(api, job, as_json=as_json, first=first))


def _repository(text: str | None) -> str | None:
    """A folder of this machine is named as `job submit` names it."""
    folder = None if text is None else Path(text).expanduser()
    return folder.resolve().as_uri() if folder is not None and folder.is_dir() else text


def _attempt_number(text: str | None) -> int:
    number = whole(text or "")
    if not number:
        raise CliError(f"--attempt {text!r} is neither a number from 1 on nor all. Write --attempt 2.", USAGE)
    return number
