"""`hybridci audit`: list and export who did what. Exit codes: see ``common``."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from api.cli.client.connection import CliError
from api.cli.client.http import Params
from api.cli.client.submit import parse_duration
from api.cli.client.terminal import sink_for
from api.cli.commands.common import All, AsJson, Cursor, DataDir, Limit, example, open_api, sub_app, tell_more
from api.cli.commands.deployments.freeze_times import moment_given
from api.cli.output import NOTHING, Column, clock, now_ms, print_json, print_table, say

EVENTS: Final = "/api/events"
_AGO: Final = re.compile(r"[0-9]+[smhd]")
app = sub_app("The audit trail: who did what, when, from where, in which role, why.")
Service = Annotated[str | None, typer.Option("--service", help="Only what concerns this service.")]
Deployment = Annotated[str | None, typer.Option("--deployment", metavar="ID", help="Only this deployment.")]
Job = Annotated[str | None, typer.Option("--job", metavar="ID", help="Only this job.")]
Agent = Annotated[str | None, typer.Option("--agent", metavar="ID", help="Only this agent.")]
By = Annotated[str | None, typer.Option("--by", help="Only what this person or key did.")]
Action = Annotated[str | None, typer.Option("--action", help="A beginning: deployment., access.key.")]
Since = Annotated[str | None, typer.Option("--since", metavar="TIME", help="2h, or 2026-12-24T18:00.")]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="2h, or 2026-12-24T18:00.")]


@app.command(
    "list", epilog=example("hybridci audit list --service checkout --since 2d", "hybridci audit list --by ann")
)
def list_events(
    service: Service = None,
    deployment: Deployment = None,
    job: Job = None,
    agent: Agent = None,
    by: By = None,
    action: Action = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    everything: All = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List what was done, newest first."""
    params = filters(service, deployment, job, agent, by, action, since, until)
    with open_api(data_dir) as api:
        page = api.page(EVENTS, params, limit=None if everything else limit, cursor=cursor)
    print_events(page, as_json=as_json, everything=everything)


def print_events(page: Any, *, as_json: bool, everything: bool = False) -> None:
    """One page for people, or as JSON; ``everything``: all pages were asked for."""
    if as_json:
        print_json(page["items"] if everything else page)
        return
    if not page["items"]:
        say("Nothing.")
        tell_more(page, "events")
        return
    columns = (
        Column("WHEN", keep=True), Column("ACTION", keep=True, least=20), Column("BY", least=12),
        Column("ROLE", rank=2), Column("KEY", rank=5), Column("VIA", rank=3), Column("FROM", rank=4),
        Column("WHAT", keep=True, least=16), Column("WHY", rank=1),
    )  # fmt: skip
    print_table(columns, [_row(event) for event in page["items"]])
    tell_more(page, "events")


@app.command(epilog=example("hybridci audit export --since 2026-01-01 --out trail.jsonl"))
def export(
    service: Service = None,
    deployment: Deployment = None,
    job: Job = None,
    agent: Agent = None,
    by: By = None,
    action: Action = None,
    since: Since = None,
    until: Until = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Default: stdout.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Write all that matches as JSON lines, newest first."""
    params = filters(service, deployment, job, agent, by, action, since, until)
    with open_api(data_dir) as api, api.stream(f"{EVENTS}/export", params) as pieces:
        if out is None:
            with sink_for(sys.stdout) as sink:
                for piece in pieces:
                    sink.write(piece)
                sink.flush()
            return
        try:
            with out.open("wb") as target:
                for piece in pieces:
                    target.write(piece)
        except OSError as error:
            raise CliError(f"{out} cannot be written ({error.strerror}): choose another file.") from None


def filters(
    service: str | None,
    deployment: str | None,
    job: str | None,
    agent: str | None,
    by: str | None,
    action: str | None,
    since: str | None,
    until: str | None,
) -> Params:
    """The options as parameters of the API. Raises CliError."""
    return {
        "service_name": service,
        "deployment_id": deployment,
        "job_id": job,
        "agent_id": agent,
        "by": by,
        "action": action,
        **times(since, until),
    }


def times(since: str | None, until: str | None) -> Params:
    """The same of times alone. Raises CliError."""
    return {
        "since": None if since is None else _moment(since, "--since"),
        "until": None if until is None else _moment(until, "--until"),
    }


def _moment(text: str, option: str) -> int:
    """A time, or how long ago. Raises CliError."""
    if _AGO.fullmatch(text.strip().lower()):
        return now_ms() - parse_duration(text, option) * 1000
    return moment_given(text, option)


def _row(event: Any) -> tuple[object, ...]:
    return (
        clock(event["at"]), event["action"], event["by"], event["role"], event.get("key_id"), event["via"],
        event["address"], what_of(event), event["reason"],
    )  # fmt: skip


def what_of(event: Mapping[str, Any]) -> str:
    """What was done, in a line: the event's own words, else what it changed, else what it is about; never nothing."""
    details: Mapping[str, Any] = event.get("details") or {}
    said = event["message"] or "; ".join(details.get("changed") or ())
    said = said or ", ".join(
        f"{name.replace('_', ' ')}: {value}"
        for name, value in details.items()
        if isinstance(value, str | int | float) and value != ""
    )
    if said:
        return said
    about = (("job", 8), ("deployment", 8), ("service", 0), ("environment", 0), ("agent", 0), ("pool", 0))
    names = {"service": "service_name", "environment": "environment", "pool": "pool"}
    found = ((word, event.get(names.get(word, f"{word}_id")), most) for word, most in about)
    return ", ".join(f"{word} {value[:most] if most else value}" for word, value, most in found if value) or NOTHING
