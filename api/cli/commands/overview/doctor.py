"""`hybridci doctor`: every part, how it is, and what to do. Also while the API is down."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.client.connection import CliError, data_folder, find_connection
from api.cli.client.http import ApiClient
from api.cli.commands.common import AsJson, CommandGroup, DataDir
from api.cli.commands.overview.api_checks import ApiChecks
from api.cli.commands.overview.findings import EXIT_CODES, Grade, PartFinding, bad, readable, tell, worst
from api.cli.commands.overview.local_checks import contexts, data_directory, machine
from api.cli.commands.overview.temporal_checks import temporal
from api.cli.output import print_json, say

app = typer.Typer(cls=CommandGroup)


@app.callback(
    invoke_without_command=True,
    epilog="Exit codes: 0 all is well · 1 something should be looked at · 2 something is bad",
)
def doctor(
    only_bad: Annotated[bool, typer.Option("--quiet", "-q", help="Only what is not well.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Check every part and say what to do: this machine, the API, Temporal, stores, clocks, versions, agents, pools."""
    found: list[PartFinding] = []
    for each in _checks(data_dir):
        found.append(each)
        if not as_json and not (only_bad and each.grade is Grade.OK):
            tell(each)
    grade = worst(found)
    if as_json:
        print_json({"grade": grade, "findings": [asdict(each) for each in found]})
    else:
        count = {kind: sum(1 for each in found if each.grade is kind) for kind in Grade}
        say(f"\n{count[Grade.OK]} ok, {count[Grade.WARN]} to look at, {count[Grade.BAD]} bad")
    raise typer.Exit(EXIT_CODES[grade])


def _checks(data_dir: Path | None) -> Iterator[PartFinding]:
    folder: Path | None = data_dir
    try:
        connection = find_connection(data_dir)
    except CliError as error:
        yield bad("API", error.message, "Without it only this machine can be looked at.")
        folder = data_dir or data_folder(Path.cwd())
    else:
        folder = connection.folder
        with ApiClient(connection) as api:
            yield from ApiChecks(api).all()
    yield from readable("Temporal", lambda: temporal(_temporal_address(folder)), "Is TEMPORAL_ADDRESS right?")
    yield from readable("machine", machine, "Is this command installed as a whole?")
    yield from readable("contexts", contexts, "Sign in anew with `hybridci login`.")
    if folder is not None:
        advice = f"`hybridci up --data-dir {folder}` writes its files anew."
        yield from readable("data folder", lambda: data_directory(folder), advice)


def _temporal_address(folder: Path | None) -> str | None:
    from api.cli.stack.data_dir import read_json

    if folder is None:
        return None
    try:
        address: Any = read_json(folder / "endpoint.json").get("temporal_address")
    except OSError:
        return None
    return address if isinstance(address, str) else None
