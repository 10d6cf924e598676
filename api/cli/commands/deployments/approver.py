"""`hybridci approver`: keys and signatures of those whose approval agents check. Speaks to nobody."""

import time
from pathlib import Path
from typing import Annotated

import typer

from api.cli.client.connection import USAGE, CliError
from api.cli.commands.common import example, sub_app
from api.cli.output import note, print_json, say

app = sub_app("Sign approvals that agents check themselves.")


@app.command(epilog=example("hybridci approver keygen --out ann.key"))
def keygen(out: Annotated[Path, typer.Option(help="The file to make, mode 0600. It must not be there.")]) -> None:
    """Make an approver's key. Its public key goes into HYBRIDCI_APPROVERS_FILE on the agents' hosts."""
    from api.cli.keys.approval_signing import new_approver_key
    from api.cli.keys.key_file import put_first

    if out.exists():
        raise CliError(
            f"{out} is there already. Name another file: what was signed with it must stay checkable.", USAGE
        )
    private, public = new_approver_key()
    put_first(out, private)
    say(public)
    note(f"{out} is your private key: whoever has it approves in your name. Above: the public key, for the agents.")


@app.command(
    epilog=example(
        "hybridci approver sign --key ann.key --service checkout --version 1.4.2 --commit 9f1c… -e production"
    )
)
def sign(
    key: Annotated[Path, typer.Option(help="Your private key.")],
    service: Annotated[str, typer.Option(help="The service's name.")],
    version: Annotated[str, typer.Option(help="The version.")],
    commit: Annotated[str, typer.Option(help="The full id of its commit.")],
    environment: Annotated[str, typer.Option("--environment", "-e", help="Where it may go.")] = "production",
    lasts: Annotated[str, typer.Option("--for", help="How long it holds: 3d, 12h.")] = "3d",
) -> None:
    """Sign an approval and print it as JSON, the field `signed` of an approval that is given over the API."""
    from pydantic import ValidationError

    from api.cli.keys.approval_signing import sign_approval
    from api.cli.keys.key_file import first_key
    from workflows.contracts.errors import field_errors

    try:
        signed = sign_approval(first_key(key, "--key"), service, version, commit, environment, expiry(lasts, "--for"))
    except ValidationError as error:
        fields = ", ".join(found.field for found in field_errors(error))
        raise CliError(
            f"This cannot be signed: {fields} is not as it must be. A commit has 40 or 64 digits.", USAGE
        ) from None
    print_json(signed.model_dump(mode="json"))


def expiry(lasts: str, option: str) -> int:
    """The end of a period that begins now, epoch ms. Raises CliError."""
    from api.cli.client.submit import parse_duration

    return int(time.time() * 1000) + int(parse_duration(lasts, option) * 1000)
