"""What counts as a day in a question, for every link that is asked about one."""

import re
from datetime import date
from typing import Final

from workflows.contracts.errors import FieldError, ValidationFailed

_FORM: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def check_day(day: str) -> str:
    """The day as it is. Raises ValidationFailed for anything but ``YYYY-MM-DD``."""
    if not _is_day(day):
        wrong = FieldError(field="day", message="must be a date of the form YYYY-MM-DD")
        raise ValidationFailed(f"{day!r} is no day. Write it as YYYY-MM-DD, in UTC.", [wrong])
    return day


def _is_day(text: str) -> bool:
    if _FORM.fullmatch(text) is None:  # fromisoformat alone also takes 20261121 and 2026-W47-6
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
