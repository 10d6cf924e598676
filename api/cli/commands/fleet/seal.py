"""`hybridci seal`: a value for a job's ``env`` that only the agents of a pool can read. Exit codes: see ``common``."""

import sys
from getpass import getpass
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from api.cli.client.connection import USAGE, CliError
from api.cli.client.http import ApiClient
from api.cli.commands.common import CommandGroup, DataDir, example, open_api
from api.cli.output import note, say
from workflows.contracts.secret_values import weakness

_MAX_VALUE_BYTES: Final = 64 * 1024

app = typer.Typer(cls=CommandGroup, help="Seal a value for the agents of a pool.", add_completion=False)


@app.callback(
    invoke_without_command=True,
    epilog=example(
        "hybridci seal --pool linux --name DB_URL --repo https://example.com/shop.git < db-url.txt",
        "hybridci seal --name DB_URL --public-key 3jmcbT… < db-url.txt",
    ),
)
def seal(
    name: Annotated[str, typer.Option(help="The variable it is for; it opens as no other.")],
    pool: Annotated[str, typer.Option(help="The pool whose agents may read it.")] = "default",
    repo: Annotated[
        str | None, typer.Option(help="The repository (its URL) it is for; it opens for no other. Default: any.")
    ] = None,
    public_key: Annotated[
        str | None,
        typer.Option(
            help="The pool's public key, which you have from its agents' operator. Default: the one that an operator "
            "has pinned, and then it is the API that you trust."
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Seal the value on stdin: what is printed goes into a job's `env`, and only the pool's agents can open it."""
    from api.cli.keys.sealing import public_key_id
    from api.cli.keys.sealing import seal as sealed

    if public_key is None:
        with open_api(data_dir) as api:
            key = _pinned_key(api, pool)
    else:
        key = public_key
    value = _value(name)
    text = sealed(key, name=name, value=value, repository=repo)
    whose = f"jobs of {repo}" if repo else "jobs of any repository (--repo narrows it down)"
    note(f"Sealed as {name} for {whose}, to key {public_key_id(key)}.")
    say(text)


def _pinned_key(api: ApiClient, pool: str) -> str:
    """What agents say of their keys is not asked: anybody with the pool's key could say it. Raises CliError."""
    answer: Any = api.get(f"/api/agents/pools/{quote(pool, safe='')}")
    keys: Any = answer.get("sealing_keys")
    if keys:
        return str(keys[0])
    if answer.get("public_keys"):
        why = f"Agents of pool {pool} have keys for sealed values, but no operator has pinned one"
        what = "On the host of an agent run `hybridci pool-key show --file FILE`"
    else:
        why = f"No key for sealed values is pinned for pool {pool}, and none of its agents has one"
        what = "Make one with `hybridci pool-key generate`, set HYBRIDCI_POOL_KEYS_FILE for its agents"
    raise CliError(
        f"{why}: nothing was sealed. {what}, then `{api.command(f'pool pin-keys {pool} KEY')}` with the public key, or "
        "give it with --public-key."
    )


def _value(name: str) -> str:
    """From stdin, never from the command line, which every process of the host can read. Raises CliError."""
    if sys.stdin.isatty():
        raw = getpass(f"Value of {name} (not shown): ").encode()
    else:
        raw = sys.stdin.buffer.read(_MAX_VALUE_BYTES + 1)
    if len(raw) > _MAX_VALUE_BYTES:
        raise CliError(f"The value is longer than {_MAX_VALUE_BYTES} bytes. Let the agent fetch it (`secrets`).", USAGE)
    try:
        value = raw.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise CliError("The value is no UTF-8 text, and no variable can hold it. Seal it in base64.", USAGE) from None
    if "\0" in value:
        raise CliError("The value has a NUL character, which no variable can hold. Seal it in base64.", USAGE)
    if (why := weakness(value)) is not None:
        raise CliError(
            f"The value cannot be masked in logs without harm: {why}. Agents refuse it, so use a longer one, or pass "
            "it as it is if it is no secret.",
            USAGE,
        )
    return value
