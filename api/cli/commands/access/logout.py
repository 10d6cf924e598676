"""`hybridci logout`: forget an API and its key. Exit codes: see ``common``."""

import os
from typing import Annotated

import typer

from api.cli.client.connection import CONTEXT_VARIABLE, CliError
from api.cli.commands.access.context import read_contexts, remove
from api.cli.commands.common import CommandGroup

app = typer.Typer(cls=CommandGroup)


@app.callback(invoke_without_command=True)
def logout(
    name: Annotated[str | None, typer.Option("--name", help="Which context. Default: the one in use.")] = None,
) -> None:
    """Forget the context in use, and its key on this machine. The key itself goes on: `hybridci key revoke` ends it."""
    chosen = name or os.environ.get(CONTEXT_VARIABLE) or read_contexts().used
    if chosen is None:
        raise CliError("No context is in use: there is nothing to sign out of.")
    remove(chosen)
