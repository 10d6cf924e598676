"""What a follower is told as text: server-sent events, or JSON lines for programs.

Server-sent events: each event of the feed is one without a name, whose data is a CloudEvent and whose id is its
position; ``end`` says why nothing more comes and where to go on. Signs of life are comments that move the id on.
JSON lines: a CloudEvent on each; ``{"position": …}`` alone is a sign of life, with ``end`` the last line.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

from api.audit.follow import Ended, FeedQuiet, Told
from api.auth.resources import Resource
from workflows.contracts.audit.events import AuditEvent


async def as_events(told: AsyncGenerator[Told, None]) -> AsyncGenerator[bytes, None]:
    """As an event stream."""
    yield b"retry: 1000\n\n"
    async with aclosing(told) as following:
        async for each in following:
            if isinstance(each, FeedQuiet):
                yield f": following\nid: {each.position}\n\n".encode("ascii")
            elif isinstance(each, Ended):
                data = json.dumps({"reason": each.reason, "position": each.position})
                yield f"event: end\nid: {each.position}\ndata: {data}\n\n".encode("ascii")
            else:
                yield b"".join(b"id: %b\ndata: %b\n\n" % (one.position.encode("ascii"), one.text) for one in each)


async def as_lines(told: AsyncGenerator[Told, None]) -> AsyncGenerator[bytes, None]:
    """As JSON lines."""
    async with aclosing(told) as following:
        async for each in following:
            if isinstance(each, FeedQuiet):
                yield json.dumps({"position": each.position}).encode() + b"\n"
            elif isinstance(each, Ended):
                yield json.dumps({"end": each.reason, "position": each.position}).encode() + b"\n"
            else:
                yield b"".join(one.text + b"\n" for one in each)


def resource_of_event(event: AuditEvent) -> Resource:
    """What it is about. A job's events are of its service too, though they do not stand in its list."""
    service = event.service_name or event.details.get("service")
    return Resource(service=service if isinstance(service, str) else None, pool=event.pool)
