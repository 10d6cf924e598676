"""`hybridci health`: is all of it well, is anything stuck? Exit codes: see ``common``; 1 when something is not well."""

from typing import Any

import typer

from api.cli.client.connection import REFUSED
from api.cli.commands.common import AsJson, CommandGroup, DataDir, open_api
from api.cli.commands.stuck import print_stuck, read_health
from api.cli.output import age, note, print_json, say

app = typer.Typer(
    cls=CommandGroup,
    help="Is all of it well? Is anything stuck?",
    epilog="Exit codes: 0 yes, nothing · 1 something is not well",
)


@app.callback(invoke_without_command=True)
def health(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Name what is not well, and the workflows that cannot go on, each with the command that cures it."""
    with open_api(data_dir) as api:
        answer: Any = read_health(api)
        unwell: Any = answer.get("errors", [])
        if as_json:
            print_json(answer)
        else:
            for each in unwell:
                say(f"{each['field']}: {each['message']}")
            if answer["stuck"]:
                print_stuck(api, answer)
            elif all(each["field"] != "temporal" for each in unwell):
                say("Nothing is stuck.")
            note(_seals(answer))
    if unwell or answer["stuck"]:
        raise typer.Exit(REFUSED)


def _seals(answer: Any) -> str:
    """How old the audit trail's last seal is."""
    if answer.get("sealed_at") is None:
        return "The audit trail was never sealed: give a worker a key (HYBRIDCI_SEAL_KEY_FILE), or see its log."
    return f"The audit trail was sealed {age(answer['sealed_at'])} (seal {answer['last_seal']})."
