"""`hybridci schema`: the JSON Schema of a file, for editors and checks without a server. Exit codes: see ``common``."""

import sys
from typing import Annotated

import typer

from api.cli.client.connection import USAGE, CliError
from api.cli.commands.common import CommandGroup, example
from api.cli.output import say
from api.file_schemas.shipped import NAMES, schema_text
from workflows.contracts.refusals.places import close_names

app = typer.Typer(
    cls=CommandGroup,
    help="Print the JSON Schema of a file that people write.",
    epilog=example("hybridci schema service > service.schema.json", "hybridci schema"),
)


@app.callback(invoke_without_command=True)
def schema(
    name: Annotated[str | None, typer.Argument(help=f"One of {', '.join(NAMES)}. Without it, they are listed.")] = None,
) -> None:
    """The same as GET /api/schemas/NAME.json."""
    if name is None:
        for known in NAMES:
            say(known)
        return
    if name not in NAMES:
        close = close_names(name, NAMES)
        instead = f"did you mean {close[0]}?" if close else f"there are {', '.join(NAMES)}."
        raise CliError(f"There is no schema {name}; {instead}", USAGE)
    sys.stdout.write(schema_text(name))
