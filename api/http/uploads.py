"""Taking in a large body: into a temporary file, never into memory, and checked against its digest."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import BinaryIO, Final, cast

from starlette.requests import Request

from api.http.errors import ApiError, ProblemCode
from workflows.contracts.errors import FieldError, ValidationFailed

_IN_MEMORY_BYTES: Final = 1 << 20
_PIECE_BYTES: Final = 1 << 20


@asynccontextmanager
async def spooled(request: Request, sha256: str) -> AsyncGenerator[BinaryIO]:
    """The request's body as a file at its beginning; gone afterwards.

    Raises ApiError length_required, and ValidationFailed when ``sha256`` (hex) is not the body's digest.
    """
    if "content-length" not in request.headers:
        raise ApiError(ProblemCode.LENGTH_REQUIRED, "Send Content-Length: a file of unknown size is not taken.")
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as file:
        body = cast("BinaryIO", file)
        digest = hashlib.sha256()
        async for piece in _pieces(request):
            # Large writes and digests block: off the loop, which answers heartbeats meanwhile.
            await asyncio.to_thread(_keep, body, digest.update, piece)
        if digest.hexdigest() != sha256:
            message = "is not the digest of the body: it was changed on its way, send it again"
            raise ValidationFailed(f"Content-SHA256 {message}.", [FieldError(field="Content-SHA256", message=message)])
        body.seek(0)
        yield body


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """The body in pieces large enough to be worth a thread."""
    collected = bytearray()
    async for part in request.stream():
        collected += part
        if len(collected) >= _PIECE_BYTES:
            yield bytes(collected)
            collected.clear()
    if collected:
        yield bytes(collected)


def _keep(file: BinaryIO, digest: Callable[[bytes], object], piece: bytes) -> None:
    file.write(piece)
    digest(piece)
