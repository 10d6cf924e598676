"""The time that a report is about, as people write it: days in UTC, or times that name their zone."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

from workflows.contracts.errors import FieldError, ValidationFailed

MOMENT: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]{5,15}(Z|[+-][0-9]{2}:[0-9]{2}))?$"
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def period(begins: str, ends: str) -> tuple[int, int]:
    """From when to when, in epoch ms, both included. Raises ValidationFailed that names `from` or `to`."""
    since, until = _moment(begins, "from"), _moment(ends, "to", whole_day=True)
    if until < since:
        raise _refused("to", "is before `from`")
    return since, until


def _moment(text: str, field: str, *, whole_day: bool = False) -> int:
    try:
        if _DAY.fullmatch(text):
            day = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
            if not whole_day:
                return _millis(day)
            return _millis(day + timedelta(days=1)) - 1
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise _refused(field, "names no time zone: write 2026-12-24T18:00+01:00, or Z for UTC")
        return _millis(moment)
    except (ValueError, OverflowError):
        raise _refused(field, "is no day and no time: write 2026-12-24, or 2026-12-24T18:00+01:00") from None


def _millis(moment: datetime) -> int:
    found = round(moment.timestamp() * 1000)
    if found < 0:
        raise ValueError("before 1970")
    return found


def _refused(field: str, what: str) -> ValidationFailed:
    return ValidationFailed(f"Correct this parameter: {field}.", [FieldError(field=field, message=what)])
