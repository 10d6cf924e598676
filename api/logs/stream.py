"""A log as a stream of events: what is stored, and, when followed, what arrives, from one attempt to the next.

The follower polls the log store: any API process can serve any follower, whichever process took the chunk in. It holds
no thread and no buffer; when the client leaves, its generator is closed. Deliberately not here: how events become text
(``text``) or server-sent events (``events``), and HTTP.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from activities.stores.chunks import clip
from activities.stores.interfaces.logs import LogChunk
from api.logs.ports import LogPorts
from api.logs.verification import LogVerification
from workflows.contracts.errors import NotFound, Unavailable
from workflows.contracts.jobs import Attempt, Job

T = TypeVar("T")
logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.3
_RECORD_SECONDS: Final = 1.0
"""How often a quiet follower looks at the job's record, which changes less often than the log."""
GRACE_MILLIS: Final = 5_000
"""How long the rest of a log may be on its way once its attempt has ended."""
OUTAGE_SECONDS: Final = 60.0
"""How long a follower outlasts a store that does not answer."""


@dataclass(frozen=True, slots=True)
class LogRequest:
    """What to stream. ``start`` in bytes, of the first attempt; ``onward`` goes on to the attempts after it, each with
    a title line; ``title_first`` gives the first attempt one too. ``end``: up to this byte of the one attempt.
    """

    first: int
    start: int = 0
    end: int | None = None
    follow: bool = False
    onward: bool = False
    title_first: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """Stored bytes of one attempt."""

    attempt: int
    chunk: LogChunk


@dataclass(frozen=True, slots=True)
class StreamNote:
    """A sentence of ours between the bytes: which attempt begins, or why nothing more comes."""

    attempt: int
    offset: int
    text: str


@dataclass(frozen=True, slots=True)
class Quiet:
    """Nothing new: the moment for a sign of life."""


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """Nothing more will come on this stream. ``complete``: the last attempt's log was there to its end. ``altered``:
    some attempt's was not the one that its agent sent.
    """

    attempt: int
    offset: int
    complete: bool
    status: str
    altered: bool = False


Event = Piece | StreamNote | Quiet | StreamEnd


class LogStream:
    """One client's reading of one job's log."""

    def __init__(self, ports: LogPorts, job: Job, request: LogRequest) -> None:
        self._ports, self._job, self._request = ports, job, request
        self._offset = request.start
        self._attempt = request.first
        self._complete = False
        self._altered = False
        self._looked = 0.0

    async def events(self) -> AsyncGenerator[Event, None]:
        """Everything, in order, then End. Raises Unavailable only when not following."""
        while True:
            untitled = self._offset == 0 and (self._request.title_first or self._attempt != self._request.first)
            verification = LogVerification() if self._offset == 0 else None
            async with aclosing(self._of_attempt()) as pieces:
                async for event in pieces:
                    if verification is not None and isinstance(event, Piece):
                        verification.take(event.chunk)
                    if untitled and isinstance(event, Piece):
                        untitled = False
                        yield StreamNote(event.attempt, 0, await self._title())
                    yield event
            if self._ports.stopping():
                yield self._note(f"the server is stopping; go on with start={self._offset}")
                break
            if verification is not None and (fault := await self._fault(verification)) is not None:
                self._altered = True
                yield self._note(f"attempt {self._attempt}'s log is not what its agent sent: {fault}")
            following = await self._next_attempt()
            if following is None:
                break
            self._attempt, self._offset, self._complete = following, 0, False
        yield StreamEnd(self._attempt, self._offset, self._complete, self._job.status, self._altered)

    async def _of_attempt(self) -> AsyncGenerator[Event, None]:
        """One attempt's chunks until its end is clear."""
        last_news = self._ports.clock()
        failing_since: float | None = None
        end = self._request.end
        while not self._ports.stopping():
            if end is not None and self._offset >= end:
                return
            try:
                stored = self._ports.logs.read(self._job.job_id, self._attempt, self._offset, end)
                async with closing_stream(stored) as chunks:
                    async for chunk in chunks:
                        if end is not None and chunk.end >= end:
                            yield Piece(self._attempt, clip(chunk, chunk.offset, end))
                            self._offset = end
                            return
                        self._offset, self._complete = chunk.end, chunk.final
                        last_news = self._ports.clock()
                        yield Piece(self._attempt, chunk)
                if self._complete or not self._request.follow:
                    return
                await self._look()
                failing_since = None
            except Unavailable:
                failing_since = self._outage(failing_since)
            if self._ended():
                if self._nothing_missing():
                    self._complete = True
                    return
                if self._ports.clock() > max(last_news, self._ended_at()) + GRACE_MILLIS:
                    yield self._note(f"the rest of attempt {self._attempt}'s log was lost with its agent")
                    return
            yield Quiet()
            await asyncio.sleep(POLL_SECONDS)

    async def _fault(self, verification: LogVerification) -> str | None:
        """Its result follows a complete log within a moment: a follower looks at the record again, once."""
        known = self._known()
        if self._complete and self._request.follow and (known is None or known.outcome is None):
            with suppress(Unavailable):
                await self._look(at_once=True)
        return verification.fault(self._known(), complete=self._complete)

    async def _next_attempt(self) -> int | None:
        """The attempt after this one, waiting for it when following. None: there is none and will be none."""
        if not self._request.onward:
            return None
        failing_since: float | None = None
        while True:
            try:
                await self._look(at_once=True)
                failing_since = None
            except Unavailable:
                failing_since = self._outage(failing_since)
            later = [attempt.number for attempt in self._job.attempts if attempt.number > self._attempt]
            if later:
                return min(later)
            if not self._request.follow or self._job.status.ended or self._ports.stopping():
                return None
            await asyncio.sleep(POLL_SECONDS)

    async def _look(self, *, at_once: bool = False) -> None:
        now = asyncio.get_running_loop().time()
        if not self._request.follow or (not at_once and now - self._looked < _RECORD_SECONDS):
            return
        try:
            self._job = await self._ports.reader.get(self._job.job_id)
        except NotFound:
            logger.info("a followed job's record is gone", extra={"job_id": self._job.job_id})
        self._looked = now

    def _outage(self, since: float | None) -> float:
        """When the outage began. Raises Unavailable when nobody waits for its end, or it lasts too long."""
        now = asyncio.get_running_loop().time()
        begun = now if since is None else since
        if not self._request.follow or now - begun > OUTAGE_SECONDS:
            raise Unavailable(f"The log store does not answer; go on later with start={self._offset}.")
        return begun

    def _known(self) -> Attempt | None:
        return next((item for item in self._job.attempts if item.number == self._attempt), None)

    def _ended(self) -> bool:
        attempt = self._known()
        return self._job.status.ended if attempt is None else attempt.finished_at is not None or self._job.status.ended

    def _ended_at(self) -> int:
        attempt = self._known()
        return (attempt.finished_at if attempt else None) or self._job.completed_at or 0

    def _nothing_missing(self) -> bool:
        """True for an attempt no agent ever had, and when all bytes its agent counted are here."""
        attempt = self._known()
        if attempt is None or attempt.agent_id is None:
            return True
        # The counter is 0 when the agent was lost, so that only a real count says that all is here.
        return bool(attempt.log_bytes) and self._offset >= (attempt.log_bytes or 0)

    async def _title(self) -> str:
        attempt = self._known()
        if attempt is None:
            with suppress(Unavailable):  # a title without the agent's name will do
                await self._look(at_once=True)
            attempt = self._known()
        agent = f" on agent {attempt.agent_id}" if attempt and attempt.agent_id else ""
        return f"attempt {self._attempt}{agent}"

    def _note(self, text: str) -> StreamNote:
        return StreamNote(self._attempt, self._offset, text)


async def is_complete(ports: LogPorts, job_id: str, attempt: Attempt) -> bool:
    """Whether an attempt's log is stored to its end, by looking only at that end."""
    if attempt.log_bytes is None:
        return False
    async with closing_stream(ports.logs.read(job_id, attempt.number, attempt.log_bytes)) as rest:
        last = await anext(rest, None)
    return last is not None and last.final


@asynccontextmanager
async def closing_stream(stream: AsyncIterator[T]) -> AsyncGenerator[AsyncIterator[T]]:
    """Ends a store's generator, and the requests it has under way, together with its reader."""
    try:
        yield stream
    finally:
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()
