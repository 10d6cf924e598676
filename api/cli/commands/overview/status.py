"""`hybridci status`: one screen of what waits for somebody, what broke, what runs. Exit codes: see ``common``."""

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final

import typer

from api.cli.client.connection import REFUSED
from api.cli.client.http import ApiClient
from api.cli.commands.common import AsJson, CommandGroup, DataDir, example, open_api
from api.cli.commands.overview.gathering import Gathered, gather
from api.cli.commands.overview.needs import Need, agents_of, broke, needs_of
from api.cli.output import age, clean, clip, note, now_ms, print_json, say, short_id, span
from api.wording import counted

app = typer.Typer(cls=CommandGroup)
_CLEAR: Final = "\x1b[H\x1b[2J"
_SECONDS: Final = 5.0
_MOST_RUNNING: Final = 5


@app.callback(invoke_without_command=True, epilog=example("hybridci status", "hybridci status --exit-code --json"))
def status(
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 1 when somebody is needed.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Stay, and draw it anew every 5 s.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show what waits for you, what broke in the last 24 hours and why, what runs, and which agents need a look."""
    with open_api(data_dir) as api:
        while True:
            found, now = gather(api), now_ms()
            needs, broken, agents = needs_of(found, now), broke(found, now), agents_of(found)
            if as_json:
                print_json(_told(api, found, needs, broken, agents))
            else:
                if watch and sys.stdout.isatty():
                    sys.stdout.write(_CLEAR)
                _print(api, found, needs, broken, agents)
            if not watch:
                break
            sys.stdout.flush()
            time.sleep(_SECONDS)
    if exit_code and any(each.urgent for each in (*needs, *agents)):
        raise typer.Exit(REFUSED)


def _told(
    api: ApiClient, found: Gathered, needs: Sequence[Need], broken: Sequence[Need], agents: Sequence[Need]
) -> Any:
    rows = {"waits": needs, "broke": broken, "agents": agents}
    return {
        "url": api.connection.url,
        "context": api.connection.context,
        "subject": found.person["subject"],
        "needs_somebody": any(each.urgent for each in (*needs, *agents)),
        **{
            name: [{**asdict(each), "command": api.command(each.command)} for each in some]
            for name, some in rows.items()
        },
        "summary": found.summary,
        "untold": found.untold,
    }


def _print(
    api: ApiClient, found: Gathered, needs: Sequence[Need], broken: Sequence[Need], agents: Sequence[Need]
) -> None:
    where = f"{api.connection.context}, {api.connection.url}" if api.connection.context else api.connection.url
    say(f"{where} as {found.person['subject']}")
    mine = [each for each in needs if each.urgent]
    _section(api, "Waits for somebody", mine)
    _section(api, "Goes on by itself or by others", [each for each in needs if not each.urgent])
    _section(api, "Broke in the last 24 hours", broken)
    _section(api, "Agents", agents)
    if not (mine or broken or agents):
        say("\nNothing waits for you, nothing broke.")
    say()
    say(_work(found))
    for job in found.running[:_MOST_RUNNING]:
        since = "" if job.started_at is None else f", {span((now_ms() - job.started_at) / 1000)}"
        say(clip(f"  {short_id(job.job_id)} {job.job_type} on {job.agent_id or '-'}{since}"))
    for part, why in found.untold.items():
        note(f"Not told: {part} ({clean(why)})")


def _section(api: ApiClient, title: str, rows: Sequence[Need]) -> None:
    if not rows:
        return
    say(f"\n{title}")
    for each in rows:
        when = "" if each.at is None else f" ({age(each.at)})"
        say(clip(f"  {each.title}{when}"))
        say(clip(f"    {' '.join(each.words.split())}"))
        say(f"    {api.command(each.command)}")


def _work(found: Gathered) -> str:
    count = found.summary
    if not count:
        return f"Of what your key may see: {counted(len(found.running), 'job')} running"
    alive = [each for each in found.agents.items if each.deregistered_at is None]
    well = sum(1 for each in alive if each.accepting)
    return (
        f"{counted(count.get('jobs_running', 0), 'job')} running, {count.get('jobs_queued', 0)} waiting; "
        f"{counted(count.get('deployments_active', 0), 'deployment')} on the way; "
        f"{well} of {counted(len(alive), 'agent')} taking jobs"
    )
