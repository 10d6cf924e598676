"""What the API has accepted without being able to show it: said on stderr, and gone on with as with any record."""

import time
from collections.abc import Callable
from typing import Any, Final, cast

from api.cli.client.connection import CliError
from api.cli.output import note

_STATUS: Final = "accepted"
_PAUSES: Final = (0.5, 1.0, 2.0, 3.0, 5.0, 5.0, 5.0, 5.0)
"""Of a service there is nothing to show before it is stored: so long it is waited for."""


def is_accepted(status: int, content: Any) -> bool:
    """True for the answer 202 that stands for a record; a bulk redrive's and others' are answers of their own."""
    return status == 202 and isinstance(content, dict) and cast(dict[str, Any], content).get("status") == _STATUS


def record_of(content: dict[str, Any], get: Callable[[str], Any]) -> Any:
    """The job, deployment, environment or service, as the API knows it now.

    Raises CliError when it does not know it for too long: it was accepted all the same.
    """
    message, url = str(content["message"]), str(content["url"])
    note(message)
    known = content.get("job") or content.get("deployment")
    if known is not None:
        return known
    for pause in _PAUSES:
        try:
            return get(url)
        except CliError:
            time.sleep(pause)
    try:
        return get(url)
    except CliError as error:
        raise CliError(f"{message} It cannot be shown yet: {error.message}", error.exit_code) from None
