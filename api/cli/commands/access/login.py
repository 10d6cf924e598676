"""`hybridci login`: check a key, and remember it with its API. Exit codes: see ``common``.

The key comes from a prompt without echo, a file or stdin, never from the command line, where every process of the
machine could read it.
"""

import getpass
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from api.cli.beginning.reading import map_of
from api.cli.client.connection import USAGE, ApiConnection, CliError, checked_key, checked_url, find_keyless_connection
from api.cli.client.contexts import NAME, SavedApi, UnusableContexts, put
from api.cli.client.http import ApiClient
from api.cli.commands.access.whoami import VALIDATE, person_of, print_person
from api.cli.commands.common import AsJson, DataDir, LoneCommand, example
from api.cli.output import note, print_json

app = typer.Typer(add_completion=False)
_NOT_TAKEN: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_USUAL_PORTS: Final = {None, 80, 443}


@app.command(
    cls=LoneCommand,
    epilog=example("hybridci login https://ci.example.com", "hybridci login ci.example.com --key-file - < my.key"),
)
def login(
    url: Annotated[
        str | None, typer.Argument(metavar="[URL]", help="The API's address. Default: the one you work with.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call it. Default: the address's host.")] = None,
    key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The key; '-' for stdin. Default: it is asked for.")
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Sign in to an API with a key, and work with it from now on: a context."""
    address = find_keyless_connection(data_dir).url if url is None else checked_url(_with_scheme(url), "URL")
    if "@" in urlsplit(address).netloc:
        raise CliError("The URL holds a name or a password: give it without, and the key when it is asked for.", USAGE)
    chosen = name or _name_of(address)
    if not NAME.fullmatch(chosen):
        raise CliError(f"--name {chosen!r} is no name: letters, digits and . _ : - are.", USAGE)
    connection = ApiConnection(address, "")
    if urlsplit(address).scheme == "http" and not connection.local:
        note(f"Warning: {address} is not encrypted: who is on the way can read the key.")
    key = _key(address, key_file)
    with ApiClient(ApiConnection(address, key)) as api:
        answer: object = api.request("POST", VALIDATE, also=_NOT_TAKEN)
    if "code" in map_of(answer):
        raise CliError(f"{address} does not take this key: it is wrong, has ended or was revoked.", USAGE)
    person = person_of(answer, address)
    try:
        put(SavedApi(chosen, address, str(person["subject"])), key)
    except UnusableContexts as error:
        raise CliError(str(error), USAGE) from None
    if as_json:
        print_json({**person, "context": chosen, "url": address})
        return
    print_person(person, address, f"context {chosen}, in use from now on")


command = typer.main.get_command(app)


def _key(address: str, file: Path | None) -> str:
    """Raises CliError."""
    if file is None:
        if not sys.stdin.isatty():
            raise CliError("There is no terminal to ask for the key at: give --key-file FILE, or - for stdin.", USAGE)
        _tell_where_keys_are(address)
        return checked_key(getpass.getpass("API key (is not shown): "), "What was typed")
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise CliError(f"--key-file names {file}, which cannot be read ({reason}).", USAGE) from None
    return checked_key(text, "stdin" if str(file) == "-" else str(file))


def _tell_where_keys_are(address: str) -> None:
    """Also finds out, before a key is typed, that nothing of ours answers there."""
    with ApiClient(ApiConnection(address, "")) as api:
        answer: Any = api.get("/auth/issuers")
    if "issuers" not in map_of(answer):
        raise CliError(f"What answers at {address} is not the hybridci API. Is the address right?", USAGE)
    names = [str(each["name"]) for each in map_of(answer)["issuers"]]
    if names:
        note(f"No key yet? Sign in with {' or '.join(names)} at {address}/access, and make one there.")


def _with_scheme(url: str) -> str:
    """`ci.example.com` as browsers take it."""
    if "://" in url:
        return url
    host = url.partition("/")[0].rpartition("@")[2].partition(":")[0]
    return f"{'http' if host in ('localhost', '127.0.0.1') else 'https'}://{url}"


def _name_of(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.hostname}" if parts.port in _USUAL_PORTS else f"{parts.hostname}:{parts.port}"
