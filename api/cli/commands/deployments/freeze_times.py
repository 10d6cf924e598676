"""When a freeze begins and ends, as people type it. Times of the API are epoch milliseconds."""

from typing import Any

from api.cli.client.connection import USAGE, CliError
from api.cli.client.submit import parse_duration
from api.moments import moment_of


def freeze_period(
    begins: str | None, until: str | None, lasts: str | None, *, now: int | None = None
) -> dict[str, Any]:
    """The API's fields for --from, --until and --for, of which the last two exclude each other. Raises CliError."""
    if (until is None) == (lasts is None):
        raise CliError("Say when it ends: either --for 2h, or --until 2026-12-27T08:00.", USAGE)
    fields: dict[str, Any] = {} if begins is None else {"starts_at": moment_given(begins, "--from")}
    if lasts is not None:
        return {**fields, "duration_seconds": parse_duration(lasts, "--for")}
    ends_at = moment_given(str(until), "--until")
    starts_at = fields.get("starts_at", now)
    if starts_at is not None and ends_at <= starts_at:
        raise CliError(
            f"--until {until} is not after {'now' if begins is None else f'--from {begins}'}: give a later time.", USAGE
        )
    return {**fields, "ends_at": ends_at}


def moment_given(text: str, option: str) -> int:
    """Epoch milliseconds of an ISO date or time; in this machine's time zone unless it names another."""
    try:
        return moment_of(text, zone=None)
    except ValueError:
        raise CliError(
            f"{option} {text!r} is no time: write 2026-12-24, 2026-12-24T18:00 or 2026-12-24T18:00+01:00.", USAGE
        ) from None
