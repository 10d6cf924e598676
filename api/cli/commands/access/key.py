"""`hybridci key`: create, list, show, rotate, revoke. Exit codes: see ``common``.

A new key is all of stdout, so that it can be piped into a secret store; `--out` writes it to a file of one's own.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from api.cli.client.connection import USAGE, CliError
from api.cli.client.http import ApiClient
from api.cli.client.structured_file import read_map
from api.cli.client.submit import parse_duration
from api.cli.commands.common import All, AsJson, DataDir, Limit, example, for_each, open_api, sub_app
from api.cli.output import Column, age, clock, note, print_fields, print_json, print_table, say
from workflows.contracts.access import CredentialKind, Operation, Role

KEYS: Final = "/api/access/keys"
app = sub_app("API keys: who may do what, for CI, agents and people without a browser.")
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `key list` shows it.")]
KeyIds = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of keys, sessions or tokens.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the key there, for its owner only.")]


@app.command(
    epilog=example(
        'hybridci key create "ci of checkout" --role developer --service checkout --expires 90d',
        "hybridci key create linux-agents --role agent --pool linux --machine --out agent.key",
        "hybridci key create bob-laptop --role approver --owner bob@example.com",
    )
)
def create(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Records call its user `key:NAME`.")] = None,
    role: Annotated[Role | None, typer.Option(case_sensitive=False, help="What it is for.")] = None,
    services: Annotated[list[str] | None, typer.Option("--service", help="Only for this. Repeatable.")] = None,
    pools: Annotated[list[str] | None, typer.Option("--pool", help="Only for this pool. Repeatable.")] = None,
    only: Annotated[
        list[Operation] | None, typer.Option("--only", help="Only this of what the role may. Repeatable.")
    ] = None,
    expires: Annotated[str | None, typer.Option(help="Such as 90d. Default: never.")] = None,
    owner: Annotated[str | None, typer.Option(help="Whose it is, such as ann@example.com. Default: yours.")] = None,
    machine: Annotated[bool, typer.Option("--machine", help="Nobody's in person: of a CI, of agents.")] = False,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="name and grants in YAML or JSON.")] = None,
    out: Out = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Make a key. It is shown once."""
    body = {} if file is None else read_map(file, what="key", such_as="name and grants")
    if role is not None:
        grant = {"role": role, "services": services, "pools": pools, "operations": only}
        body["grants"] = [{field: value for field, value in grant.items() if value}]
    elif services or pools or only:
        raise CliError("--service, --pool and --only narrow a role: give --role too.", USAGE)
    if name is not None:
        body["name"] = name
    if owner is not None:
        body["owner"] = owner
    if machine:
        body["machine"] = True
    if expires is not None:
        body["expires_seconds"] = parse_duration(expires, "--expires")
    if not body.get("name") or not body.get("grants"):
        raise CliError("A key needs a NAME and a --role (or a --file with both).", USAGE)
    with open_api(data_dir) as api:
        _hand_over(api, api.request("POST", KEYS, body=body), out, as_json=as_json)


@app.command("list", epilog=example("hybridci key list", "hybridci key list --kind session"))
def list_keys(
    kind: Annotated[CredentialKind, typer.Option(case_sensitive=False, help="What to list.")] = CredentialKind.KEY,
    limit: Limit = 50,
    everything: All = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List keys, newest first; also those that ended lately."""
    with open_api(data_dir) as api:
        page = api.page(KEYS, {"kind": kind}, limit=None if everything else limit)
    if as_json:
        print_json(page["items"] if everything else page)
        return
    if not page["items"]:
        say(f"No {kind}s.")
        return
    columns = (
        Column("ID", key=True), Column("OF"), Column("STATUS", keep=True), Column("MAY"),
        Column("USED", rank=1), Column("ENDS", rank=2), Column("MADE", rank=3),
    )  # fmt: skip
    print_table(columns, [_row(item) for item in page["items"]])
    if page["next_cursor"]:
        note("There are more: --limit N or --all shows them.")


@app.command(epilog=example("hybridci key show 4fybqv4amjaornc5"))
def show(key: KeyId, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show a key: all but its secret."""
    with open_api(data_dir) as api:
        record: Any = api.get(_path(key))
    if as_json:
        print_json(record)
        return
    print_fields(
        [
            ("Key", record["key_id"]),
            ("Of", record["subject"]),
            ("Owner", _owner(record)),
            ("Status", record["status"]),
            ("May", _grants(record)),
            ("Made", f"{_moment(record['created_at'])} by {record['created_by']}"),
            ("Last used", _moment(record["last_used_at"]) or "never"),
            ("Ends", _moment(_end(record))),
            ("Replaced by", record["replaced_by"]),
        ]
    )


@app.command(epilog=example("hybridci key claim 4fybqv4amjaornc5 --owner ann@example.com"))
def claim(
    key: KeyId,
    owner: Annotated[str, typer.Option(help="Whose it is, such as ann@example.com.")],
    machine: Annotated[bool, typer.Option("--machine", help="Nobody's in person: of a CI, of agents.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Say whose a key is that was made before keys had owners. Until then it owns itself."""
    with open_api(data_dir) as api:
        record: Any = api.request("POST", f"{_path(key)}/claim", body={"owner": owner, "machine": machine})
    if as_json:
        print_json(record)
        return
    say(f"{record['key_id']} of {record['subject']}: {_owner(record)}")


@app.command(epilog=example("hybridci key rotate 4fybqv4amjaornc5 --overlap 1h --out agent.key"))
def rotate(
    key: KeyId,
    overlap: Annotated[str, typer.Option(help="So long the old one still works; 0 for not at all.")] = "24h",
    out: Out = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Replace a key by a new one that may do the same."""
    seconds = 0 if overlap.strip() == "0" else parse_duration(overlap, "--overlap")
    with open_api(data_dir) as api:
        answer = api.request("POST", f"{_path(key)}/rotate", body={"overlap_seconds": seconds})
        _hand_over(api, answer, out, as_json=as_json)


@app.command(epilog=example("hybridci key revoke 4fybqv4amjaornc5"))
def revoke(keys: KeyIds, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """End keys at once; sessions and tokens too."""
    with open_api(data_dir) as api:
        for_each(
            keys,
            lambda key: api.request("DELETE", _path(key)),
            lambda record: say(f"{record['key_id']} of {record['subject']}: {record['status']}"),
            as_json=as_json,
        )


def _hand_over(api: ApiClient, created: Any, out: Path | None, *, as_json: bool) -> None:
    secret = created["key"]
    if out is not None:
        _write(out, secret)
        created = {field: value for field, value in created.items() if field != "key"}
    if as_json:
        print_json(created)
    elif out is None:
        say(secret)
    where = "This is the only time it is shown." if out is None else f"Its secret is in {out}."
    show_it = api.command(f"key show {created['key_id']}")
    note(f"Key {created['key_id']} of {created['subject']}: {_grants(created)}. {where} `{show_it}` shows the rest.")


def _write(out: Path, secret: str) -> None:
    """For its owner only, from the first moment. Raises CliError."""
    try:
        with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as target:
            os.fchmod(target.fileno(), 0o600)
            target.write(secret + "\n")
    except OSError as error:
        raise CliError(
            f"The key was made, but {out} cannot be written ({error.strerror}). Revoke it (`key list` shows its id) "
            "and make another."
        ) from None


def _row(item: Any) -> tuple[object, ...]:
    end = _end(item)
    return (
        item["key_id"], item["subject"], item["status"], _grants(item), age(item["last_used_at"]),
        age(end) if end is not None else None, age(item["created_at"]),
    )  # fmt: skip


def _owner(item: Any) -> str:
    """Whose it is, in words."""
    whose = item["owner"] or "itself, until an admin claims it for somebody (`key claim`)"
    return f"{whose} (a machine's)" if item["machine"] else whose


def _grants(item: Any) -> str:
    return "; ".join(_grant(grant) for grant in item["grants"])


def _grant(grant: Any) -> str:
    limits = [("service", grant.get("services")), ("pool", grant.get("pools")), ("only", grant.get("operations"))]
    return " ".join([grant["role"], *(f"{what} {','.join(names)}" for what, names in limits if names)])


def _end(item: Any) -> int | None:
    return min((each for each in (item["expires_at"], item["revoked_at"]) if each is not None), default=None)


def _moment(then: int | None) -> str | None:
    return None if then is None else f"{clock(then)} ({age(then)})"


def _path(key: str) -> str:
    return f"{KEYS}/{quote(key, safe='')}"
