"""`hybridci control-key`: the key by which the control worker signs what deployments run. Speaks to nobody."""

from pathlib import Path
from typing import Annotated

import typer

from api.cli.client.connection import USAGE, CliError
from api.cli.commands.common import example, sub_app
from api.cli.output import note, say

app = sub_app("The key that signs what deployments run, for agents that run nothing else.")


@app.callback()
def group() -> None:
    """The key that signs what deployments run, for agents that run nothing else."""


@app.command(epilog=example("hybridci control-key keygen --out control.key"))
def keygen(out: Annotated[Path, typer.Option(help="The file to make, mode 0600. It must not be there.")]) -> None:
    """Make a key. Its file is the control workers' HYBRIDCI_SPEC_KEY_FILE, its public key goes to the agents' hosts."""
    from api.cli.keys.approval_signing import new_approver_key
    from api.cli.keys.key_file import put_first

    if out.exists():
        raise CliError(
            f"{out} is there already. Name another file: agents must know a new public key before it signs.", USAGE
        )
    private, public = new_approver_key()  # the same kind: Ed25519
    put_first(out, private)
    say(public)
    note(
        f"{out} is the private key, for control workers only. Above: the public key, for HYBRIDCI_CONTROL_KEYS_FILE on"
        " the agents' hosts. To rotate: add the new one there first, then give the workers its file, then take the old"
        " one out."
    )
