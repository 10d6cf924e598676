"""What may still come of a log that has ended, or whose attempt has: the rest of it, and nothing that changes it.

An agent sends the rest of a log after its attempt was reported, and after it was lost: what an agent left behind, the
next one in its directory sends. Deliberately not here: whose attempt it is (``auth.deliveries``).
"""

from typing import Final

from activities.stores.interfaces.logs import LogChunk, LogStore
from workflows.contracts.errors import InvalidState
from workflows.contracts.jobs import Attempt
from workflows.newest import Newest

ROOM_BYTES: Final = 4096
"""For the sentences with which an agent says that its log was cut off, beyond what its result counted."""
_MOST: Final = 10_000


class EndedLogs:
    """Logs whose last piece this process has stored: their attempts are reported after it, and end later still."""

    def __init__(self, most: int = _MOST) -> None:
        self._ended: Newest[tuple[str, int], None] = Newest(most)

    def add(self, job_id: str, attempt: int) -> None:
        """The last piece is stored."""
        self._ended[job_id, attempt] = None

    def __contains__(self, log: tuple[str, int]) -> bool:
        return log in self._ended


async def adds_to_ended(logs: LogStore, job_id: str, number: int, ended: Attempt | None, chunk: LogChunk) -> bool:
    """True when the chunk is to be stored, False when all of it is there already.

    ``ended``: the attempt, when it has. Raises InvalidState for a chunk that would change what is stored, or that goes
    beyond what the agent has reported; Unavailable.
    """
    extent = await logs.extent(job_id, number)
    stored = await _stored(logs, job_id, number, chunk, min(chunk.end, extent.size))
    differs = stored != chunk.data[: len(stored)] or (chunk.final and chunk.end < extent.size)
    if differs or (extent.complete and chunk.end > extent.size):
        raise InvalidState(
            f"The log of attempt {number} of job {job_id} has {extent.size} bytes and"
            f" {'has ended' if extent.complete else 'its attempt has ended'}: nothing of it can change any more."
        )
    if ended is not None and ended.reported and chunk.data:
        most = max(ended.log_bytes or 0, extent.size) + ROOM_BYTES
        if chunk.end > most:
            raise InvalidState(
                f"Attempt {number} of job {job_id} has ended with a log of {ended.log_bytes or 0} bytes: nothing is"
                f" kept that goes on to byte {chunk.end}. Send a log before its attempt's result."
            )
    return chunk.end > extent.size or (chunk.final and not extent.complete)


async def _stored(logs: LogStore, job_id: str, number: int, chunk: LogChunk, end: int) -> bytes:
    """What is stored where the chunk would go, up to ``end``; at most as long as the chunk."""
    found = bytearray()
    if chunk.offset < end:
        async for piece in logs.read(job_id, number, chunk.offset, end):
            found += piece.data
            if chunk.offset + len(found) >= end:
                break
    return bytes(found[: max(0, end - chunk.offset)])
