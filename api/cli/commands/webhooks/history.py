"""`hybridci webhook deliveries`, `show` and `replay`: what other tools sent to an API, and doing it once more."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import typer

from api.cli.client.connection import CliError
from api.cli.client.http import ApiClient
from api.cli.commands.audit import Since, Until, filters
from api.cli.commands.common import All, AsJson, Cursor, DataDir, Limit, open_api, tell_more
from api.cli.output import Column, age, clock, note, print_fields, print_json, print_table, say, size
from api.wording import counted
from workflows.contracts.deployments.deliveries import DeliveryOutcome
from workflows.contracts.ids import is_uuid

DELIVERIES: Final = "/api/webhooks/deliveries"
_SHORT_ID: Final = 8
_SEARCHED: Final = 500
DeliveryId = Annotated[str, typer.Argument(metavar="ID", help="The delivery's id, or the beginning of it.")]


def deliveries(
    provider: Annotated[str | None, typer.Option("--provider", help="Only of this tool.")] = None,
    service: Annotated[str | None, typer.Option("--service", help="Only what concerns this service.")] = None,
    outcome: Annotated[DeliveryOutcome | None, typer.Option("--outcome", help="Only what came of it.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    everything: All = False,
    cursor: Cursor = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List what other tools sent, newest first: what came, what it did, or why nothing."""
    times = filters(None, None, None, None, None, None, since, until)
    params = {
        "provider": provider,
        "service_name": service,
        "outcome": None if outcome is None else outcome.value,
        "since": times["since"],
        "until": times["until"],
    }
    with open_api(data_dir) as api:
        page = api.page(DELIVERIES, params, limit=None if everything else limit, cursor=cursor)
    if as_json:
        print_json(page["items"] if everything else page)
        return
    _print(page["items"])
    tell_more(page, "deliveries", always=False)
    if refused := page.get("not_genuine"):
        said = ", ".join(f"{name} {number}" for name, number in sorted(refused.items()))
        note(f"Not genuine today, only counted: {said}.")


def show(delivery: DeliveryId, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show one delivery: what it said of itself, what it did and how that stands now, and its body."""
    with open_api(data_dir) as api:
        found: Any = api.get(f"{DELIVERIES}/{_found(api, delivery)}")
    if as_json:
        print_json(found)
        return
    print_fields(
        [
            ("Delivery", found["delivery_id"]),
            ("Provider", found["provider"]),
            ("Event", found["event"]),
            ("Its own id", found["delivery"]),
            ("Came", f"{clock(found['at'])} ({age(found['at'])})"),
            ("Received", f"{counted(found['received'], 'time')}, last {age(found['last_at'])}"),
            ("Repository", found["repository"]),
            ("Ref", found["ref"]),
            ("Sender", found["sender"]),
            ("Rule", found["rule"] or "none matches"),
            ("Outcome", found["outcome"]),
            ("Message", found["message"]),
        ]
    )
    for action in found["actions"]:
        say(f"\n{action['action']}: {action['status']}" + (f", now {action['now']}" if action["now"] else ""))
        for name in ("service_name", "environment", "version", "deployment_id", "job_id", "message"):
            if action[name]:
                say(f"  {name}: {action[name]}")
    for each in found["passed_over"]:
        say(f"\nNot started: {each['why']}")
    kept = "" if found["body_kept"] else f", not kept: {found['body_note']}"
    say(f"\nBody ({size(found['size'])}{kept})")
    if found["body"] is not None:
        say(_pretty(found["body"]))


def replay(
    delivery: DeliveryId,
    start_again: Annotated[
        bool, typer.Option("--start-again", help="Also start what it started before, if that has ended.")
    ] = False,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; kept in the audit trail.")] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Do once more what a delivery asked for: by the rules of now, with the rights of the tool that sent it."""
    body: dict[str, Any] = {"start_again": start_again} | ({} if reason is None else {"reason": reason})
    with open_api(data_dir) as api:
        answer: Any = api.request("POST", f"{DELIVERIES}/{_found(api, delivery)}/replay", body=body)
    if as_json:
        print_json(answer)
    else:
        say(answer["message"])
        for each in answer["passed_over"]:
            say(f"Not started: {each['why']}")
    if answer["status"] == "refused":
        raise CliError("Nothing of it was done.")


def _found(api: ApiClient, text: str) -> str:
    """The id that ``text`` means: a whole one, or the beginning of exactly one among the newest."""
    wanted = text.strip().lower()
    if is_uuid(wanted):
        return wanted
    recent = api.page(DELIVERIES, {}, limit=_SEARCHED)["items"]
    found = [each["delivery_id"] for each in recent if wanted and each["delivery_id"].startswith(wanted)]
    if len(found) == 1:
        return str(found[0])
    what = f"{len(found)} deliveries begin" if found else f"No delivery among the newest {_SEARCHED} begins"
    raise CliError(f"{what} with {text!r}: `hybridci webhook deliveries` shows them.")


def _print(items: Sequence[Mapping[str, Any]]) -> None:
    if not items:
        say("No deliveries.")
        return
    columns = (
        Column("DELIVERY", key=True), Column("PROVIDER", keep=True), Column("EVENT", rank=1),
        Column("OUTCOME", keep=True), Column("REPOSITORY", rank=3), Column("REF", rank=2), Column("SENDER", rank=4),
        Column("WHAT CAME OF IT"), Column("NOW", rank=1), Column("CAME", keep=True),
    )  # fmt: skip
    rows = [
        (
            each["delivery_id"][:_SHORT_ID], each["provider"], each["event"], each["outcome"], each["repository"],
            each["ref"], each["sender"], each["message"],
            ", ".join(dict.fromkeys(action["now"] for action in each["actions"] if action["now"])), age(each["at"]),
        )
        for each in items
    ]  # fmt: skip
    print_table(columns, rows)


def _pretty(body: str) -> str:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body
