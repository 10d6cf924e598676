"""HEAD wherever GET is answered: the same answer without its body (RFC 9110, 9.3.2).

Deliberately not here: what is counted and allowed, which is the same as for GET.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class AnswerHead:
    """Outermost: asks for all that is behind it by GET, and ends what would stream for long."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        ended = False

        async def receive_until_answered() -> Message:
            return {"type": "http.disconnect"} if ended else await receive()

        async def send_without_body(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.start":
                await send(message)
            elif message["type"] == "http.response.body" and not ended:
                ended = True
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self._app({**scope, "method": "GET"}, receive_until_answered, send_without_body)
