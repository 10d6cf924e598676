"""`hybridci storage`: what takes how much, what goes by policy, and a sweep by hand. Exit codes: see ``common``."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import typer

from api.cli.commands.common import EXIT_CODES, AsJson, CommandGroup, DataDir, example, open_api
from api.cli.output import Column, age, note, print_json, print_table, say, size, span
from api.wording import counted

app = typer.Typer(
    cls=CommandGroup, help="What takes how much, how long it is kept, and what goes next.", epilog=EXIT_CODES
)
STORAGE: Final = "/api/storage"


@app.callback(invoke_without_command=True)
def storage(context: typer.Context, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show what takes how much, how long it is kept, and what the next sweep takes."""
    if context.invoked_subcommand is not None:
        return
    with open_api(data_dir) as api:
        answer: Any = api.get(STORAGE)
    if as_json:
        print_json(answer)
        return
    _print_kinds(answer)
    say()
    _print_sizes("TABLE", [(each["holds"], each["items"], each["size"]) for each in answer["tables"]])
    if (folder := answer.get("folder")) is not None:
        say()
        _print_folder(folder)
    if answer["last_sweep_at"] is not None:
        say()
        say(f"Last sweep {age(answer['last_sweep_at'])} ago:")
        for each in answer["last_sweep"]["kinds"]:
            say(f"  {_swept(each)}")
    if answer["unanswered"] is not None:
        note(f"What the next sweep takes is not known: {answer['unanswered']}")


@app.command(epilog=example("hybridci storage create"))
def create() -> None:
    """Create the tables and the bucket that are missing, with this shell's AWS settings: then workers need not."""
    from api.cli.processes import run_process

    raise typer.Exit(run_process("stores"))


@app.command(epilog=example("hybridci storage sweep --dry-run", 'hybridci storage sweep --reason "the disk is full"'))
def sweep(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; kept in the audit trail.")] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Remove now what is older than the policy says; the schedule does the same every hour."""
    body: dict[str, Any] = {"dry_run": dry_run} | ({} if reason is None else {"reason": reason})
    with open_api(data_dir) as api:
        answer: Any = api.request("POST", f"{STORAGE}/sweep", body=body)
    if as_json:
        print_json(answer)
    else:
        say(answer["message"])


def _print_kinds(answer: Mapping[str, Any]) -> None:
    columns = (
        Column("KIND", keep=True), Column("ITEMS", right=True), Column("SIZE", right=True), Column("OLDEST", rank=2),
        Column("KEPT", keep=True), Column("NEXT SWEEP", right=True, rank=1),
    )  # fmt: skip
    known = answer["policy"] is not None
    rows: list[Sequence[object]] = []
    for each in answer["kinds"]:
        at_least = ">" if each["at_least"] else ""
        kept = span(each["age_seconds"]) if each["age_seconds"] else "for ever" if known else None
        rows.append((
            each["kind"],
            None if each["items"] is None else f"{at_least}{each['items']:,}",
            None if each["size"] is None else f"{at_least}{size(each['size'])}",
            None if each["oldest_at"] is None else age(each["oldest_at"]),
            "until it ends" if each["kind"] == "expired" else kept,
            None if each["next_removed"] is None else f"{each['next_removed']:,}",
        ))  # fmt: skip
    print_table(columns, rows)


def _print_sizes(title: str, rows: Sequence[tuple[str, int, int]]) -> None:
    columns = (Column(title, keep=True), Column("ITEMS", right=True), Column("SIZE", right=True))
    ordered = sorted(rows, key=lambda row: -row[2])
    print_table(columns, [(name, f"{items:,}", size(taken)) for name, items, taken in ordered])
    note("Tables are counted by the database: on AWS up to six hours ago.")


def _print_folder(folder: Mapping[str, Any]) -> None:
    columns = (Column("IN THE DATA DIRECTORY", keep=True), Column("ON DISK", right=True))
    print_table(columns, [(each["name"], size(each["size"])) for each in folder["entries"]])
    at_least = "at least " if folder["at_least"] else ""
    say(f"{folder['path']} takes {at_least}{size(folder['size'])}; {size(folder['free'])} of the disk are free.")


def _swept(swept: Mapping[str, Any]) -> str:
    if swept["note"]:
        return f"{swept['kind']}: {swept['note']}"
    objects = f", {counted(swept['objects'], 'object')} ({size(swept['size'])})" if swept["objects"] else ""
    return f"{swept['kind']}: {swept['looked_at']:,} looked at, {swept['removed']:,} removed{objects}"
