"""`hybridci open`: the dashboard in a browser, signed in as whoever's key this is. Exit codes: see ``common``."""

import webbrowser
from typing import Annotated, Any

import typer

from api.cli.client.http import ApiClient
from api.cli.commands.common import CommandGroup, DataDir, open_api
from api.cli.output import note, say

app = typer.Typer(cls=CommandGroup, help="Open the dashboard in a browser, signed in.")


@app.callback(invoke_without_command=True)
def open_dashboard(
    print_it: Annotated[bool, typer.Option("--print", help="Only print the link.")] = False, data_dir: DataDir = None
) -> None:
    """The link signs in once, within ten minutes, and on the machine of the API only."""
    with open_api(data_dir) as api:
        link = sign_in_link(api)
    say(link)
    if not print_it and not webbrowser.open(link):
        note("No browser could be started: open the link yourself. It works once, within ten minutes.")


def sign_in_link(api: ApiClient) -> str:
    """A new one. Raises CliError."""
    made: Any = api.request("POST", "/auth/ticket")
    return f"{api.connection.url}/sign-in#ticket={made['ticket']}"
