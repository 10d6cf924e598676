"""A stream that is cut when its reader takes too long for what was sent to it."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Message, Send

logger = logging.getLogger(__name__)


class PatientStream(StreamingResponse):
    """``seconds``: so long one piece may wait to be sent; then the connection is closed. ``content`` is closed with it,
    however it ends.
    """

    def __init__(
        self, content: AsyncGenerator[bytes, None], *, headers: Mapping[str, str], media_type: str, seconds: float
    ) -> None:
        super().__init__(content, 200, headers, media_type)
        self._content, self._seconds = content, seconds

    async def stream_response(self, send: Send) -> None:
        """As the base class, but for the patience."""

        async def sent(message: Message) -> None:
            async with asyncio.timeout(self._seconds):
                await send(message)

        try:
            async with aclosing(self._content):
                await super().stream_response(sent)
        except TimeoutError:
            logger.info("a follower took too long for what was sent to it", extra={"seconds": self._seconds})
