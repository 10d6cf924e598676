"""`hybridci codec`: keys for the optional payload codec. Speaks to nobody."""

import os
from pathlib import Path
from typing import Annotated

import typer

from api.cli.commands.common import example, sub_app
from api.wording import counted

app = sub_app("Make payloads unreadable for whoever runs Temporal.")


@app.callback()
def codec() -> None:
    """Make payloads unreadable for whoever runs Temporal."""


@app.command(epilog=example("hybridci codec keygen --out codec.keys"))
def keygen(
    out: Annotated[Path, typer.Option(help="The file to make, or to which a newer key is prepended (rotation).")],
) -> None:
    """Make a key; give the file to API, control worker and agents as HYBRIDCI_CODEC_KEYS_FILE.

    To rotate: prepend a key on every process but keep the old ones below it as long as their workflows are kept.
    """
    from workflows.payloads.sealing import new_key

    earlier = out.read_text("ascii") if out.exists() else ""
    part = out.with_name(f".{out.name}.new")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{new_key()}\n{earlier}")
    part.replace(out)
    keys = counted(len(out.read_text("ascii").split()), "key")
    typer.echo(f"{out} has {keys}, the newest first. Keep it secret; back it up.")
