"""Tickets: a link of ten minutes that opens a session once, for the person at this machine.

Kept in the process that made it and only as a digest: one that restarts forgets them; `hybridci open` makes more.
Deliberately not here: who may ask for one (``sign_in.routes``), the session that it opens (``sessions``).
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from api.auth.principal import Principal
from api.auth.tokens import digest_of
from workflows.newest import Newest

TICKET_SECONDS: Final = 600
_MOST: Final = 100


@dataclass(frozen=True, slots=True)
class _Ticket:
    caller: Principal
    host: str
    until: float


class Tickets:
    """For one process; ``monotonic`` in seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._tickets: Newest[str, _Ticket] = Newest(_MOST)

    def make(self, caller: Principal, host: str) -> str:
        """A new one that opens a session for this caller, by the name ``host`` of this server. It is told this once."""
        ticket = secrets.token_urlsafe(32)
        self._tickets[digest_of(ticket)] = _Ticket(caller, host, self._monotonic() + TICKET_SECONDS)
        return ticket

    def take(self, ticket: str, host: str) -> Principal | None:
        """For whom it was made; it is used up with that. None: it is none, was used, is too old, or is for another
        name of this server.
        """
        found = self._tickets.pop(digest_of(ticket), None)
        good = found is not None and found.until > self._monotonic() and found.host == host
        return found.caller if found is not None and good else None
