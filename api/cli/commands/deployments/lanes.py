"""`hybridci deploy lanes` and `deploy approval`: what is on its way where, and what an approval asks of people.

They belong to `hybridci deploy`, which adds them. Deliberately not here: working either out, which the API does.
"""

from typing import Annotated, Any

import typer

from api.cli.client.http import DEPLOYMENTS
from api.cli.commands.common import All, AsJson, Cursor, DataDir, Limit, example, open_api, sub_app, tell_more
from api.cli.commands.deployments.lookup import DeploymentArgument, find_deployment, is_on_its_way
from api.cli.output import Column, age, clock, print_fields, print_json, print_table, say, span
from workflows.contracts.deployments.lanes import InLine, Lane, LanePlace, Moving

app = sub_app("What is on its way.")
_LANES = "/api/dashboard/lanes"


@app.command(epilog=example("hybridci deploy lanes", "hybridci deploy lanes --service checkout"))
def lanes(
    service: Annotated[str | None, typer.Option(help="Only the lane of this service.")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    everything: All = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List what is live, on its way and in line in each environment of each service."""
    with open_api(data_dir) as api:
        page = api.page(_LANES, {"service_name": service}, limit=None if everything else limit, cursor=cursor)
    if as_json:
        print_json(page["items"] if everything else page)
        return
    found = [Lane.model_validate(each) for each in page["items"]]
    columns = (
        Column("SERVICE", key=True), Column("ENVIRONMENT", keep=True), Column("LIVE", keep=True),
        Column("SINCE", rank=3), Column("ON ITS WAY", rank=1), Column("IN LINE", rank=2), Column("USUALLY", rank=4),
        Column("STOPPED BY"),
    )  # fmt: skip
    print_table(columns, [row for lane in found for row in _rows(lane)])
    tell_more(page, "services", always=False)


@app.command(epilog=example("hybridci deploy approval checkout"))
def approval(deployment: DeploymentArgument, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show who may approve a deployment, who has, what is missing, and whether yours would count."""
    with open_api(data_dir) as api:
        found: Any = api.get(f"{DEPLOYMENTS}/{find_deployment(api, deployment, prefer=is_on_its_way)}/approval")
    if as_json:
        print_json(found)
        return
    if not found["waits"]:
        say(f"{found['version']} waits for no approval now.")
        return
    given = [f"{each['by']}{'' if each['counts'] else ' (counts no more)'}" for each in found["given"]]
    yours = f"{found['you']} may approve it" if found["you_may"] else found["why_not"]
    print_fields(
        [
            ("Environment", found["environment"]),
            ("Missing", found["missing"] or "nothing"),
            ("Given", ", ".join(given) or "none"),
            ("Signed", "each must be (--sign-with)" if found["signed"] else None),
            ("Expires", clock(found["expires_at"])),
            ("Who may", found["who_may"]),
            ("You", yours),
        ]
    )


def _rows(lane: Lane) -> list[tuple[object, ...]]:
    coming = [(lane.service_name, "before", None, None, _moving(each), None, None, None) for each in lane.coming]
    return [*coming, *(_row(lane.service_name, place) for place in lane.places)]


def _row(service: str, place: LanePlace) -> tuple[object, ...]:
    stopped = ["on hold"] if place.hold is not None else []
    stopped += ["frozen"] if place.frozen_until is not None else []
    stopped += [stop.name for stop in place.stops]
    return (
        service,
        place.environment,
        None if place.live is None else place.live.version,
        None if place.live is None else age(place.live.since),
        None if place.moving is None else _moving(place.moving),
        ", ".join(_in_line(each) for each in place.line) or None,
        span(place.usual_seconds) if place.usual_seconds is not None else None,
        ", ".join(stopped) or None,
    )


def _moving(moving: Moving) -> str:
    return f"{moving.version} {moving.doing}"


def _in_line(waiting: InLine) -> str:
    if not waiting.ready:
        return f"{waiting.version} (approval)"
    return waiting.version if waiting.begins_at is None else f"{waiting.version} ({clock(waiting.begins_at)})"
