"""`hybridci token`: exchange a CI job's or an agent's OIDC token, show what is in use. Exit codes: see ``common``.

To exchange, no key is needed or read. The token comes from the environment or a file, never from the command line,
where every process of the machine could read it; stdout is the new token and nothing else.
"""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from api.cli.client.connection import USAGE, CliError, find_keyless_connection
from api.cli.client.http import ApiClient
from api.cli.commands.common import AsJson, DataDir, example, open_api, sub_app
from api.cli.output import clock, note, print_json, say

app = sub_app("Short-lived tokens for CI jobs and agents, without any static secret.")
ID_TOKEN_VARIABLE: Final = "HYBRIDCI_ID_TOKEN"  # noqa: S105 - a variable's name
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--id-token-file", metavar="FILE", help=f"The OIDC token; '-' for stdin. Default: {ID_TOKEN_VARIABLE}."
    ),
]


@app.command(
    epilog=example(
        "HYBRIDCI_API_KEY=$(hybridci token exchange --id-token-file /var/run/secrets/hybridci/token)",
        """hybridci token exchange --request '{"role": "developer", "services": ["checkout"]}'""",
    )
)
def exchange(
    id_token_file: TokenFile = None,
    requested: Annotated[
        list[str] | None,
        typer.Option("--request", metavar="GRANT", help="A grant as JSON, narrower than the policy's. Repeatable."),
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Exchange the job's own OIDC token for one of this API, and print it."""
    body: dict[str, Any] = {"subject_token": read_id_token(id_token_file)}
    if requested:
        body["requested"] = [_grant(text) for text in requested]
    with ApiClient(find_keyless_connection(data_dir)) as api:
        answer = api.request("POST", "/auth/token", body=body)
    if as_json:
        print_json(answer)
        return
    say(answer["access_token"])
    note(f"{answer['subject']}, for {answer['expires_in']} s.")


@app.command(epilog=example("hybridci token show"))
def show(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Say whom the key or token in use stands for, what it may do, and how long."""
    with open_api(data_dir) as api:
        found = api.request("POST", "/auth/validate")
    if as_json:
        print_json(found)
        return
    until = found.get("expires_at")
    say(f"{found['subject']} ({found['kind']}), {'without end' if until is None else f'until {clock(until)}'}")
    for grant in found["grants"]:
        limits = [f"{name}: {', '.join(grant[name])}" for name in ("services", "pools", "operations") if name in grant]
        say(f"  {'; '.join([grant['role'], *limits])}")


def read_id_token(file: Path | None) -> str:
    """The token that a CI system or a cluster gave. Raises CliError."""
    try:
        if file is None:
            text, source = os.environ.get(ID_TOKEN_VARIABLE, ""), ID_TOKEN_VARIABLE
        elif str(file) == "-":
            text, source = sys.stdin.read(), "stdin"
        else:
            text, source = file.read_text("utf-8"), str(file)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise CliError(f"The OIDC token cannot be read from {file}: {reason}.", USAGE) from None
    token = text.strip()
    if not token:
        raise CliError(f"{source} holds no OIDC token. Set it, or name a file with --id-token-file.", USAGE)
    return token


def _grant(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise CliError(f"""--request {text!r} is no JSON; write it like '{{"role": "developer"}}'.""", USAGE) from None
