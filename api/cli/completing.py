"""What a shell completes: recent ids, names of services, pools, agents, environments, keys, contexts.

A shell waits for it at each press of the key: half a second at most, and nothing when the API is away, slow, or says
no.
Deliberately not here: commands and options, which typer completes by itself.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any, Final
from urllib.parse import quote

from typer import Context

from api.cli.bash_words import replaced

_SECONDS: Final = 0.5
_MOST: Final = 100
_SHORT: Final = 8

Completion = list[tuple[str, str]]


def jobs(ctx: Context, incomplete: str) -> Completion:
    """Recent ones, as tables show them."""
    words = _asked(ctx, "/api/dashboard/jobs", lambda each: (each["job_id"], f"{each['job_type']} {each['status']}"))
    return _ids(words, incomplete)


def dead_letters(ctx: Context, incomplete: str) -> Completion:
    """Of the queue of dead letters."""
    words = _asked(
        ctx, "/api/queue/dead-letters", lambda each: (each["job_id"], f"{each['job_type']} {each['cause'] or ''}")
    )
    return _ids(words, incomplete)


def deployments(ctx: Context, incomplete: str) -> Completion:
    """Recent ones, and services; after ``service@`` the versions that were deployed of it."""
    if "@" in incomplete:
        return _versions(ctx, incomplete)
    found = _asked(
        ctx,
        "/api/dashboard/deployments",
        lambda each: (each["deployment_id"], f"{each['service_name']} {each['version']} {each['status']}"),
    )
    return [*_ids(found, incomplete), *services(ctx, incomplete)]


def to_roll_back(ctx: Context, incomplete: str) -> Completion:
    """Services; deployments only once it can be nothing else."""
    return services(ctx, incomplete) or deployments(ctx, incomplete)


def services(ctx: Context, incomplete: str) -> Completion:
    """By name."""
    return _names(ctx, "/api/dashboard/services", "name", incomplete)


def pools(ctx: Context, incomplete: str) -> Completion:
    """By name."""
    return _names(ctx, "/api/agents/pools", "name", incomplete, paged=False)


def agents(ctx: Context, incomplete: str) -> Completion:
    """By id, with how they are."""
    found = _asked(ctx, "/api/agents", lambda each: (each["agent_id"], f"{each['pool']} {each['status']}"))
    return [each for each in found if each[0].startswith(incomplete)]


def keys(ctx: Context, incomplete: str) -> Completion:
    """Their ids, with whose they are."""
    found = _asked(ctx, "/api/access/keys", lambda each: (each["key_id"], str(each["subject"])))
    return [each for each in found if each[0].startswith(incomplete)]


def environments(ctx: Context, incomplete: str) -> Completion:
    """Of the service that stands in the command already, else of all."""
    before = [word for word in ctx.args if not word.startswith("-")]  # not told apart yet where an option ends the line
    named = str(ctx.params.get("service") or next(iter(before), "")).partition("@")[0]
    path = f"/api/dashboard/lanes?service_name={quote(named, safe='')}" if named else "/api/dashboard/lanes"
    lanes = _asked(ctx, path, lambda each: [place["environment"] for place in each["places"]])
    return [(name, "") for name in sorted({name for some in lanes for name in some}) if name.startswith(incomplete)]


def contexts(_: Context, incomplete: str) -> Completion:
    """By name; nobody is asked."""
    from api.cli.client.contexts import Contexts, UnusableContexts

    try:
        known = Contexts.read().known
    except UnusableContexts:
        return []
    return [(name, each.url) for name, each in known.items() if name.startswith(incomplete)]


def _versions(ctx: Context, incomplete: str) -> Completion:
    """As ``service@version``, newest first, with how its newest deployment is."""
    service = incomplete.partition("@")[0]
    found = _asked(
        ctx,
        f"/api/dashboard/deployments?service_name={quote(service, safe='')}",
        lambda each: (f"{each['service_name']}@{each['version']}", str(each["status"])),
    )
    newest = dict(reversed(found))
    return [(name, newest[name]) for name in dict.fromkeys(name for name, _ in found) if name.startswith(incomplete)]


def _ids(words: Sequence[tuple[str, str]], incomplete: str) -> Completion:
    """Short, unless more was typed already."""
    whole = len(incomplete) > _SHORT
    return [(name if whole else name[:_SHORT], help) for name, help in words if name.startswith(incomplete)]


def _names(ctx: Context, path: str, field: str, incomplete: str, *, paged: bool = True) -> Completion:
    names = _asked(ctx, path, lambda each: str(each[field]), paged=paged)
    return [(name, "") for name in names if name.startswith(incomplete)]


def _asked(ctx: Context, path: str, row: Callable[[Any], Any], *, paged: bool = True) -> list[Any]:
    """A row of each item of one page; none for whatever goes wrong: a completion that complains ruins the line."""
    rows: list[Any] = []

    def ask() -> None:
        with suppress(Exception):
            rows.extend(row(each) for each in _items(ctx, path, paged=paged))

    # Not only the connection can take long: looking up a name, too, which no timeout ends.
    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_SECONDS)
    return list(rows)


def _items(ctx: Context, path: str, *, paged: bool) -> list[Any]:
    import json
    from urllib.error import HTTPError
    from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

    from api.cli.client.connection import find_connection

    folder, context = ctx.params.get("data_dir"), ctx.find_root().params.get("context")
    environ = {**os.environ, **({"HYBRIDCI_CONTEXT": context} if context else {})}
    connection = find_connection(None if folder is None else Path(folder), environ=environ)
    question = f"{path}{'&' if '?' in path else '?'}limit={_MOST}" if paged else path
    request = Request(  # noqa: S310 - its scheme is checked where the connection is found
        f"{connection.url}{question}",
        headers={"Authorization": f"Bearer {connection.key}", "Accept": "application/json"},
    )

    class NoRedirect(HTTPRedirectHandler):
        """urllib would hand the key on to wherever it is sent."""

        def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any) -> None:
            return None

    opener = build_opener(NoRedirect, *([ProxyHandler({})] if connection.local else []))
    try:
        with opener.open(request, timeout=_SECONDS) as answer:
            return json.loads(answer.read())["items"]
    except HTTPError as refused:
        refused.close()
        return []


Source = Callable[[Context, str], Completion]
BY_NAME: Final[Mapping[str, Source]] = {
    "job_id": jobs,
    "job_ids": jobs,
    "job": jobs,
    "deployment": deployments,
    "service": services,
    "services": services,
    "pool": pools,
    "pools": pools,
    "agent": agents,
    "environment": environments,
    "environments": environments,
    "context": contexts,
}
"""What a parameter of this name is, in whatever command."""
BY_PLACE: Final[Mapping[tuple[str, str], Source]] = {
    ("job", "names"): jobs,
    ("job", "inputs"): jobs,
    ("dlq", "job_id"): dead_letters,
    ("dlq", "job_ids"): dead_letters,
    ("agents", "agents"): agents,
    ("key", "key"): keys,
    ("key", "keys"): keys,
    ("context", "name"): contexts,
    ("deploy", "what"): to_roll_back,
    ("", "name"): contexts,
}
"""The same in this group alone; the root has no name."""


@dataclass(frozen=True, slots=True)
class CompletedWord:
    """As typer's own classes for shells read it."""

    value: str
    help: str | None = None
    type: str = "plain"


def attach(command: Any, place: str) -> None:
    """Have the command's parameters completed."""
    for parameter in command.params:
        source = BY_PLACE.get((place, parameter.name)) or BY_NAME.get(parameter.name)
        if source is not None:
            parameter.shell_complete = partial(_completed, source)


def _completed(source: Source, ctx: Context, incomplete: str) -> list[CompletedWord]:
    found = source(ctx, incomplete)
    return [CompletedWord(replaced(value, incomplete, os.environ), help or None) for value, help in found]
