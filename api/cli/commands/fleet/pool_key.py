"""`hybridci pool-key`: the keys to which values for a pool are sealed. Speaks to nobody: private keys stay here."""

from pathlib import Path
from typing import Annotated

import typer

from api.cli.commands.common import example, sub_app
from api.cli.output import note, say

app = sub_app("Keys to which values for a pool's agents are sealed.")


@app.callback()
def pool_key() -> None:
    """Keys to which values for a pool's agents are sealed."""


@app.command(epilog=example("hybridci pool-key generate --out pool.keys"))
def generate(
    out: Annotated[
        Path, typer.Option(help="The file to make (mode 0600), or in which the new key is put before the others.")
    ],
) -> None:
    """Make a key. Give the file to every agent of the pool as HYBRIDCI_POOL_KEYS_FILE and restart them.

    To rotate, do it again: the older keys open what was sealed to them until you remove them from the file.
    """
    from api.cli.keys.key_file import put_first
    from api.cli.keys.sealing import new_pool_key, public_key_id

    private, public = new_pool_key()
    put_first(out, private)
    say(public)
    note(f"Key {public_key_id(public)} is in {out}, which only the pool's agents may read. Above: its public key.")


@app.command(epilog=example("hybridci pool-key show --file pool.keys"))
def show(file: Annotated[Path, typer.Option(help="The pool's keys; the file of HYBRIDCI_POOL_KEYS_FILE.")]) -> None:
    """Show the newest key's id and public key, to compare with what `hybridci seal` says."""
    from nacl.encoding import Base64Encoder
    from nacl.public import PrivateKey

    from api.cli.keys.key_file import first_key
    from api.cli.keys.sealing import public_key_id

    public = PrivateKey(first_key(file, "--file")).public_key.encode(Base64Encoder).decode()
    say(f"{public_key_id(public)} {public}")
