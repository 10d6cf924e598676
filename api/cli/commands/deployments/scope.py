"""Many services at once, as people type them: --all, --label team=payments, --service a --service b, --except c.

Deliberately not here: what is then done with them (``freeze``, ``hold``).
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer

from api.cli.client.connection import USAGE, CliError
from api.cli.client.http import ApiClient
from api.cli.client.submit import parse_pairs
from api.cli.output import Column, clock, now_ms, print_table, say
from workflows.contracts.deployments.line import LineStop

FREEZES: Final = "/api/dashboard/freezes"
HOLDS: Final = "/api/dashboard/holds"
AllServices = Annotated[bool, typer.Option("--all", help="Of all services.")]
Labels = Annotated[
    list[str] | None, typer.Option("--label", metavar="NAME=VALUE", help="Of services with this label; repeatable.")
]
Services = Annotated[
    list[str] | None, typer.Option("--service", metavar="SERVICE", help="Of these services; repeatable.")
]
Exceptions = Annotated[
    list[str] | None, typer.Option("--except", metavar="SERVICE", help="But not of these; repeatable.")
]
Environments = Annotated[
    list[str] | None,
    typer.Option("--environment", "-e", help="In which environments; repeatable. Default: in all of them."),
]


def scope_of(
    everything: bool,
    labels: Sequence[str] | None,
    services: Sequence[str] | None,
    exceptions: Sequence[str] | None,
    environments: Sequence[str] | None,
) -> dict[str, Any] | None:
    """The API's scope; None when no option says which services. Raises CliError."""
    wanted: dict[str, Any] = {
        "all_services": everything,
        "labels": parse_pairs(labels or [], "--label"),
        "services": list(services or []),
    }
    named = {name: value for name, value in wanted.items() if value}
    if not named:
        if exceptions:
            raise CliError("--except leaves some out of many: say --all or --label NAME=VALUE as well.", USAGE)
        return None
    if len(named) > 1:
        raise CliError("Say which services by one of --all, --label and --service.", USAGE)
    return {**named, "exceptions": list(exceptions or []), "environments": list(environments or [])}


def stops(api: ApiClient, path: str) -> list[LineStop]:
    """Those of many services."""
    listed: Any = api.get(path)
    return [LineStop.model_validate(item) for item in listed["items"]]


def print_stops(found: Sequence[LineStop], nothing: str) -> None:
    """A table."""
    if not found:
        say(nothing)
        return
    now = now_ms()
    columns = (
        Column("ID", key=True), Column("OF", keep=True), Column("NAME"), Column("FROM", keep=True, rank=1),
        Column("UNTIL", keep=True), Column("STATE", keep=True), Column("BY", rank=2), Column("REASON", rank=3),
    )  # fmt: skip
    rows = [
        (
            each.stop_id, each.scope.words(), each.name, clock(each.starts_at),
            "released" if each.ends_at is None else clock(each.ends_at),
            "ON" if each.in_force(now) else "over" if each.starts_at <= now else "to come", each.by, each.reason,
        )
        for each in found
    ]  # fmt: skip
    print_table(columns, rows)
