"""What proxies add to a request: whoever it came through, its address says nothing of who sent it.

Deliberately not here: which proxies' word counts (``api.server``).
"""

from typing import Final

from starlette.requests import Request

FORWARDED: Final = (
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-real-ip",
)
"""What proxies add: whoever sends one of these may be anywhere."""


def came_through_proxy(request: Request) -> bool:
    """As far as a proxy says so: one that adds nothing is not seen."""
    return any(name in request.headers for name in FORWARDED)
