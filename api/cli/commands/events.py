"""`hybridci events`: what happens, newest first, or live. Exit codes: see ``common``.

Deliberately not here: the trail as a whole and its export (``audit``).
"""

import json
import time
from collections.abc import Iterator
from typing import Annotated, Any, Final, cast

import typer

from api.cli.client.connection import USAGE, CliError
from api.cli.client.http import ApiClient, Params, Transient
from api.cli.commands.audit import (
    EVENTS,
    Agent,
    By,
    Deployment,
    Job,
    Service,
    Since,
    Until,
    filters,
    print_events,
)
from api.cli.commands.common import AsJson, CommandGroup, Cursor, DataDir, Limit, example, open_api
from api.cli.output import clock, note, say

_SILENCE_SECONDS: Final = 45.0
"""The API gives a sign of life every 15 s."""
_PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
_GIVE_UP_SECONDS: Final = 600.0
app = typer.Typer(cls=CommandGroup, invoke_without_command=True)


@app.callback(
    epilog=example("hybridci events --service checkout --since 2h", "hybridci events --follow --type deployment.")
)
def events(
    service: Service = None,
    environment: Annotated[str | None, typer.Option("--environment", help="Only this environment.")] = None,
    deployment: Deployment = None,
    job: Job = None,
    agent: Agent = None,
    pool: Annotated[str | None, typer.Option("--pool", help="Only what concerns this pool.")] = None,
    by: By = None,
    kind: Annotated[str | None, typer.Option("--type", help="A beginning: deployment., agent.registered.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Stay, and show each event as it happens.")] = False,
    behind: Annotated[
        str | None, typer.Option("--after", metavar="POSITION", help="With --follow: go on behind this position.")
    ] = None,
    from_first: Annotated[bool, typer.Option("--from-first", help="With --follow: begin with all there is.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show what happened, newest first; or, with --follow, what happens."""
    if not follow and (behind is not None or from_first):
        raise CliError("--after and --from-first say where a follower begins: give --follow with them.", USAGE)
    wanted = filters(service, deployment, job, agent, by, kind, since, until)
    wanted = {**wanted, "environment": environment, "pool": pool}
    with open_api(data_dir) as api:
        if not follow:
            print_events(api.page(EVENTS, wanted, limit=limit, cursor=cursor), as_json=as_json)
            return
        for event in _followed(api, {**wanted, "start": "first" if from_first else "now"}, behind):
            if as_json:
                say(json.dumps(event, ensure_ascii=False))
            else:
                _show(event)


def _followed(api: ApiClient, params: Params, position: str | None) -> Iterator[dict[str, Any]]:
    """CloudEvents as they come; a connection that breaks is made again, from the last position."""
    failures, failing_since = 0, 0.0
    while True:
        try:
            for event in _connected(api, params, position):
                failures = 0
                position = str(event["position"])
                if "id" in event:
                    yield event
        except Transient:
            failing_since = failing_since if failures else time.monotonic()
            failures += 1
            if time.monotonic() - failing_since > _GIVE_UP_SECONDS:
                raise
            if failures == 1:
                note(f"{api.connection.url} does not answer: waiting for it.")
        time.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])


def _connected(api: ApiClient, params: Params, position: str | None) -> Iterator[dict[str, Any]]:
    """What one connection brings, its end among it. Raises CliError."""
    query = {**params, "follow": True, "stream": "jsonl"}
    headers = {} if position is None else {"Last-Event-ID": position}
    rest = b""
    with api.stream(EVENTS, query, silence_seconds=_SILENCE_SECONDS, headers=headers) as pieces:
        for piece in pieces:
            *lines, rest = (rest + piece).split(b"\n")
            for line in filter(None, lines):
                yield cast("dict[str, Any]", json.loads(line))


def _show(event: dict[str, Any]) -> None:
    data = event["data"]
    words = data.get("message") or ""
    reason = f" ({data['reason']})" if data.get("reason") else ""
    say(f"{clock(data['at'])}  {event['type']}  {event['subject']}  {data.get('by') or ''}  {words}{reason}".rstrip())
