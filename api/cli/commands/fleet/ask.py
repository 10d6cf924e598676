"""`hybridci ask`: what a pool's agents answer besides jobs. Exit codes: see ``common``; 1 also when the answer is no.

Deliberately not here: what can be asked (``contracts.tasks``).
"""

import base64
import sys
from collections.abc import Callable
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from api.cli.client.connection import CliError
from api.cli.client.http import ApiClient
from api.cli.client.submit import parse_duration
from api.cli.client.terminal import sink_for
from api.cli.commands.common import AsJson, DataDir, example, open_api, sub_app
from api.cli.output import Column, clock, note, print_json, print_table, say
from api.cli.scaling.scaler import POOLS

app = sub_app(
    "Ask a pool's agents: what commits say, whether a version can be had, what a metric reads. No job is run."
)

Pool = Annotated[str, typer.Option("--pool", help="Whose agents are asked.")]
Repo = Annotated[str, typer.Option("--repo", help="The repository's URL, as a job names it.")]
Ref = Annotated[str | None, typer.Option("--ref", help="Where to look when the server hands out no bare commits.")]
Timeout = Annotated[str, typer.Option("--timeout", help="How long to wait for an answer, such as 30s.")]
Older = Annotated[str, typer.Argument(metavar="OLDER", help="A whole commit id.")]
Newer = Annotated[str, typer.Argument(metavar="NEWER", help="A whole commit id.")]
Commit = Annotated[str, typer.Argument(metavar="COMMIT", help="A whole commit id.")]
_POLLS: Final = 10
"""Each waits up to 20 s; no question may take longer than 120 s."""
_ANSWERED: Final = "answered"
_VERDICTS: Final = ("is_ancestor", "is_head", "exists", "ready")
"""What of an answer says yes or no."""


@app.command(epilog=example("hybridci ask ancestor 9f1c… 0a9b… --repo https://example.com/shop.git"))
def ancestor(
    older: Older,
    newer: Newer,
    repo: Repo,
    ref: Ref = None,
    pool: Pool = "default",
    timeout: Timeout = "30s",
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Is OLDER an ancestor of NEWER, or the same commit? Exit code 1: it is not."""
    question = {"kind": "ancestry", "git_repo": repo, "git_ref": ref, "ancestor": older, "descendant": newer}

    def tell(answer: Any) -> None:
        say("yes" if answer["is_ancestor"] else "no")
        if not answer["is_ancestor"] and not answer["complete"]:
            note("The agent's history ends early (a shallow clone), so it may be one all the same.")

    _ask(question, pool, timeout, tell, as_json=as_json, data_dir=data_dir)


@app.command(epilog=example("hybridci ask commits 9f1c… 0a9b… --repo https://example.com/shop.git --limit 20"))
def commits(
    older: Older,
    newer: Newer,
    repo: Repo,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="How many at most.")] = 100,
    ref: Ref = None,
    pool: Pool = "default",
    timeout: Timeout = "30s",
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List the commits that NEWER has and OLDER has not, newest first, with the times that they say."""
    question = {"kind": "commits", "git_repo": repo, "git_ref": ref, "older": older, "newer": newer, "limit": limit}

    def tell(answer: Any) -> None:
        columns = (Column("COMMIT", key=True), Column("COMMITTED"))
        print_table(columns, [(each["sha"], clock(each["committed_at"])) for each in answer["commits"]])
        _tell_cut(answer)

    _ask(question, pool, timeout, tell, as_json=as_json, data_dir=data_dir)


@app.command(epilog=example("hybridci ask paths 9f1c… 0a9b… --repo https://example.com/shop.git"))
def paths(
    older: Older,
    newer: Newer,
    repo: Repo,
    ref: Ref = None,
    pool: Pool = "default",
    timeout: Timeout = "30s",
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List the files that differ between the two commits."""
    question = {"kind": "paths", "git_repo": repo, "git_ref": ref, "older": older, "newer": newer}

    def tell(answer: Any) -> None:
        for path in answer["paths"]:
            say(path)
        _tell_cut(answer)

    _ask(question, pool, timeout, tell, as_json=as_json, data_dir=data_dir)


@app.command(epilog=example("hybridci ask head main 0a9b… --repo https://example.com/shop.git"))
def head(
    ref: Annotated[str, typer.Argument(metavar="REF", help="A branch, or a whole name such as refs/tags/v1.")],
    commit: Commit,
    repo: Repo,
    pool: Pool = "default",
    timeout: Timeout = "30s",
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Is COMMIT still the head of REF, as the server has it now? Exit code 1: it is not."""
    question = {"kind": "head", "git_repo": repo, "git_ref": ref, "git_commit_sha": commit}

    def tell(answer: Any) -> None:
        say("yes" if answer["is_head"] else f"no: {answer['head'] or 'there is no such ref'}")

    _ask(question, pool, timeout, tell, as_json=as_json, data_dir=data_dir)


@app.command(epilog=example("hybridci ask file 0a9b… deploy/service.yaml --repo https://example.com/shop.git"))
def file(
    commit: Commit,
    path: Annotated[str, typer.Argument(metavar="PATH", help="A path inside the repository.")],
    repo: Repo,
    ref: Ref = None,
    pool: Pool = "default",
    timeout: Timeout = "30s",
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Print a file as it is at COMMIT, 64 KiB at most. Exit code 1: there is none of this name."""
    question = {"kind": "file", "git_repo": repo, "git_ref": ref, "git_commit_sha": commit, "path": path}

    def tell(answer: Any) -> None:
        if not answer["exists"]:
            note(f"There is no file {path} at {commit[:12]}.")
            return
        with sink_for(sys.stdout) as sink:
            sink.write(base64.b64decode(answer["content"]))
            sink.flush()

    _ask(question, pool, timeout, tell, as_json=as_json, data_dir=data_dir)


@app.command(epilog=example("hybridci ask ready 0a9b… --repo https://example.com/shop.git --pool production"))
def ready(
    commit: Commit,
    repo: Repo,
    artifact: Annotated[
        str | None, typer.Option("--artifact", help="What the agents' own check understands: an image, a URL.")
    ] = None,
    ref: Ref = None,
    pool: Pool = "default",
    timeout: Timeout = "30s",
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Can COMMIT (and an artifact) be had from where the pool's agents are? Exit code 1: it cannot."""
    question = {
        "kind": "ready",
        "git_repo": repo,
        "git_ref": ref,
        "git_commit_sha": commit,
        "artifact": artifact,
    }

    def tell(answer: Any) -> None:
        say("yes" if answer["ready"] else f"no: {answer['why']}")

    _ask(question, pool, timeout, tell, as_json=as_json, data_dir=data_dir)


@app.command(epilog=example("hybridci ask metric error-rate --service checkout --pool production"))
def metric(
    name: Annotated[str, typer.Argument(metavar="NAME", help="One of the agents' HYBRIDCI_PROBES_FILE.")],
    service: Annotated[str | None, typer.Option("--service", help="Of which service.")] = None,
    environment: Annotated[str | None, typer.Option("--env", help="In which environment.")] = None,
    version: Annotated[str | None, typer.Option("--version", help="Of which version.")] = None,
    pool: Pool = "default",
    timeout: Timeout = "30s",
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Read a metric now, as the pool's agents see it."""
    question = {"kind": "metric", "name": name, "service": service, "environment": environment, "version": version}

    def tell(answer: Any) -> None:
        say(f"{answer['value']:g}")

    _ask(question, pool, timeout, tell, as_json=as_json, data_dir=data_dir)


def _ask(
    question: dict[str, Any], pool: str, timeout: str, tell: Callable[[Any], None], *, as_json: bool, data_dir: Any
) -> None:
    """Ask, wait, tell. Ctrl-C withdraws the question. Raises CliError when nobody could tell."""
    path = f"{POOLS}/{quote(pool, safe='')}/tasks"
    with open_api(data_dir) as api:
        body = {"question": question, "timeout_seconds": parse_duration(timeout, "--timeout")}
        view = _waited_for(api, path, api.create(path, body))
    if as_json:
        print_json(view)
    if view["outcome"] != _ANSWERED:
        raise CliError(view["message"] or "Nobody answered in time.")
    answer = view["answer"]
    if not as_json:
        tell(answer)
    if not all(answer.get(verdict, True) for verdict in _VERDICTS):
        raise typer.Exit(1)


def _waited_for(api: ApiClient, path: str, view: Any) -> Any:
    own = f"{path}/{view['task_id']}"
    try:
        for _ in range(_POLLS):
            if view["outcome"] is not None:
                break
            view = api.get(own)
    except KeyboardInterrupt:
        api.request("POST", f"{own}/cancel")
        raise
    return view


def _tell_cut(answer: Any) -> None:
    if answer["truncated"]:
        note("There are more: the answer is cut off here.")
    if answer.get("complete") is False:
        note("The agent's history ends early (a shallow clone): there may be more.")
