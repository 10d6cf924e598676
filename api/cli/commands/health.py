"""`hybridci health`: is anything stuck? Exit codes: see ``common``; 1 when something is."""

from typing import Any

import typer

from api.cli.client.connection import REFUSED
from api.cli.commands.common import AsJson, CommandGroup, DataDir, open_api
from api.cli.commands.stuck import HEALTH, print_stuck
from api.cli.output import print_json, say

app = typer.Typer(cls=CommandGroup, help="Is anything stuck?", epilog="Exit codes: 0 nothing is · 1 something is")


@app.callback(invoke_without_command=True)
def health(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List the workflows that cannot go on, each with the command that cures it."""
    with open_api(data_dir) as api:
        answer: Any = api.get(HEALTH)
        if as_json:
            print_json(answer)
        elif answer["stuck"]:
            print_stuck(api, answer)
        else:
            say("Nothing is stuck.")
    if answer["stuck"]:
        raise typer.Exit(REFUSED)
