"""`hybridci whoami`: who this is, with which rights, for how long, and where that was found. Exit codes: ``common``."""

from typing import Any, Final

import typer

from api.cli.beginning.reading import map_of
from api.cli.client.connection import USAGE, CliError
from api.cli.commands.common import AsJson, CommandGroup, DataDir, open_api
from api.cli.output import age, clock, print_fields, print_json

VALIDATE: Final = "/auth/validate"
app = typer.Typer(cls=CommandGroup)


@app.callback(invoke_without_command=True)
def whoami(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Say who you are here, what your key may do and until when, and where it was found."""
    with open_api(data_dir) as api:
        connection = api.connection
        person = person_of(api.request("POST", VALIDATE), connection.url)
    if as_json:
        found = {"url": connection.url, "context": connection.context, "source": connection.source}
        print_json({**person, **found})
        return
    print_person(person, connection.url, connection.source)


def person_of(answer: object, url: str) -> dict[str, Any]:
    """The answer, when it says who somebody is. Raises CliError: then something else than our API answers there."""
    found = map_of(answer)
    grants: Any = found.get("grants")
    if not all(isinstance(found.get(name), str) for name in ("subject", "kind")) or not isinstance(grants, list):
        raise CliError(f"What answers at {url} is not the hybridci API of this version. Is the address right?", USAGE)
    return found


def print_person(person: Any, url: str, source: str) -> None:
    """A few lines. ``source``: where the address and the key were found."""
    until = person.get("expires_at")
    grants = [_grant(each) for each in person["grants"]]
    print_fields(
        [
            ("You are", f"{person['subject']} ({person['kind']})"),
            *(("May" if not index else "", text) for index, text in enumerate(grants)),
            ("Until", "without end" if until is None else f"{clock(until)} ({age(until)})"),
            ("API", url),
            ("Found by", source),
        ]
    )


def _grant(grant: Any) -> str:
    limits = [("services", grant.get("services")), ("pools", grant.get("pools")), ("only", grant.get("operations"))]
    words = [f"{what} {', '.join(names)}" for what, names in limits if names]
    return "; ".join([grant["role"], *(words or ["everything that the role may"])])
