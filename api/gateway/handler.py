"""A call's way through the gateway: is it on the list, who is asking, may they, pass it on, pass the answer back.

Polls are held as long as Temporal holds them; each is a coroutine that waits, so that none is in another's way. An
agent that goes away ends its calls at Temporal too. Whoever's token is revoked loses its open polls within a minute.
Deliberately not here: the rules (``methods``), the processes' life (``server``).
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import grpc
import grpc.aio

from api.gateway.limits import AtOnce, Seldom
from api.gateway.methods import HEALTH_CHECK, METHODS, Method, Scope
from api.gateway.refusals import Refused, away, denied, malformed, too_much
from api.gateway.tokens import FRESH_SECONDS, Caller, Callers
from api.gateway.upstream import Upstream

logger = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[bytes, bytes]

POLLS_AT_ONCE: Final = 100
CALLS_AT_ONCE: Final = 200
_SERVING: Final = b"\x08\x01"
_NOT_SERVING: Final = b"\x08\x02"
"""``grpc.health.v1.HealthCheckResponse``."""
_LEAST_SECONDS: Final = 0.05


class Gateway(grpc.GenericRpcHandler):
    """Answers every call of every agent. ``scope_of`` says what a caller's requests are held against."""

    def __init__(
        self,
        callers: Callers,
        upstream: Upstream,
        scope_of: Callable[[Caller], Scope],
        recheck_seconds: float = FRESH_SECONDS,
        answered: Callable[[str, str], None] = lambda _method, _status: None,
    ) -> None:
        """``answered`` is told of each call that has ended: the method's own name or ``other``, and its status."""
        self._callers, self._upstream, self._scope_of = callers, upstream, scope_of
        self._recheck_seconds, self._answered = recheck_seconds, answered
        self.polls, self.calls = AtOnce(POLLS_AT_ONCE, "polls"), AtOnce(CALLS_AT_ONCE, "calls")
        self._stopping = asyncio.Event()
        self._seldom = Seldom()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any]":
        """The handler of a call; gRPC asks for it before the request is read."""
        name = handler_call_details.method
        method = METHODS.get(name)
        if name == HEALTH_CHECK:
            return grpc.unary_unary_rpc_method_handler(self._health, bytes, bytes)
        if method is not None:
            return grpc.unary_unary_rpc_method_handler(self._allowed(name, method), bytes, bytes)
        # Whatever it is, it is answered without being read.
        return grpc.stream_stream_rpc_method_handler(self._not_allowed(name), bytes, bytes)

    def stop_polls(self) -> None:
        """End all open polls: their agents poll again, elsewhere or when this gateway is back."""
        self._stopping.set()

    async def _health(self, _request: bytes, _context: Context) -> bytes:
        return _SERVING if self._upstream.reachable() and not self._stopping.is_set() else _NOT_SERVING

    def _allowed(self, name: str, method: Method) -> Callable[[bytes, Context], Awaitable[bytes]]:
        async def call(request: bytes, context: Context) -> bytes:
            return await self._answer(name, context, self._pass_on(name, method, request, context))

        return call

    def _not_allowed(self, name: str) -> Callable[[Any, Context], Awaitable[None]]:
        async def refuse(context: Context) -> bytes:
            caller = await self._caller(context)  # whoever is nobody is told that first
            raise denied(f"Agent {caller.agent_id} may not call {name[:200]}: only what an activity worker calls.")

        async def call(_requests: Any, context: Context) -> None:
            await self._answer(name, context, refuse(context))

        return call

    async def _answer(self, name: str, context: Context, work: Coroutine[Any, Any, bytes]) -> bytes:
        """The work's result, or its refusal as the call's status."""
        method = name.rpartition("/")[2] if name in METHODS else "other"  # names can be invented, without end
        try:
            answer = await work
            self._answered(method, "ok")
            return answer
        except Refused as refusal:
            refused = refusal
        except Exception:
            quote = secrets.token_hex(4)
            logger.exception("a call failed", extra={"call": name, "id": quote})
            refused = Refused(grpc.StatusCode.INTERNAL, f"The gateway failed; its log says why, under the id {quote}.")
        self._answered(method, refused.code.name.lower())
        self._tell(name, context, refused)
        return await context.abort(refused.code, refused.reason, refused.trailing)

    async def _pass_on(self, name: str, method: Method, request: bytes, context: Context) -> bytes:
        caller = await self._caller(context)
        if len(request) > method.max_bytes:
            raise too_much(f"A request of this kind may have {method.max_bytes} bytes, this one has {len(request)}.")
        scope = self._scope_of(caller)
        with (self.polls if method.holds else self.calls).one(caller.agent_id):
            answer = await self._ask(name, method, method.request(scope, request), context, caller)
        return answer if method.answer is None else method.answer(scope, answer)

    async def _ask(self, name: str, method: Method, request: bytes, context: Context, caller: Caller) -> bytes:
        call = self._upstream.start(name, request, _metadata(context), _seconds(method, context))
        try:
            if method.holds:
                await self._hold(call, context, caller)
            return await call
        except grpc.aio.AioRpcError as error:
            raise self._upstream.refusal(error) from error
        finally:
            call.cancel()

    async def _hold(self, call: "grpc.aio.UnaryUnaryCall[bytes, bytes]", context: Context, caller: Caller) -> None:
        """Until the poll is answered. Raises Refused when its caller may no longer hold it."""
        answered, stopping = asyncio.ensure_future(call.code()), asyncio.ensure_future(self._stopping.wait())
        try:
            while not answered.done():
                await asyncio.wait(
                    {answered, stopping}, timeout=self._recheck_seconds, return_when=asyncio.FIRST_COMPLETED
                )
                if answered.done():
                    return
                if stopping.done():
                    raise away("This gateway is being restarted: poll again.")
                if not await self._still(context, caller):
                    # Not "unauthenticated", which ends an SDK's worker: the agent may have a newer token by now.
                    raise away("The token with which this poll began has ended: poll again with the present one.")
        finally:
            answered.cancel()
            stopping.cancel()

    async def _still(self, context: Context, caller: Caller) -> bool:
        try:
            return (await self._caller(context)).pool == caller.pool
        except Refused:  # the next poll is told why
            return False

    async def _caller(self, context: Context) -> Caller:
        sent = [value for name, value in _metadata(context) if name == "authorization"]
        if len(sent) > 1 or any(isinstance(value, bytes) for value in sent):
            raise malformed("Send one authorization header.")
        return await self._callers.caller(str(sent[0]) if sent else None, _address(context.peer()))

    def _tell(self, name: str, context: Context, refused: Refused) -> None:
        """What agents try that they may not do belongs in the log; a flood of it does not."""
        if (
            refused.code is not grpc.StatusCode.PERMISSION_DENIED
            and refused.code is not grpc.StatusCode.UNAUTHENTICATED
        ):
            return
        address = _address(context.peer())
        known = name if name in METHODS else ""  # names can be invented, without end
        if (more := self._seldom.may(f"{refused.code} {known} {address}")) is not None:
            logger.warning(
                "refused a call",
                extra={"call": name[:200], "address": address, "reason": refused.reason, "not_told": more},
            )


def _metadata(context: Context) -> list[tuple[str, str | bytes]]:
    return [(name, value) for name, value in context.invocation_metadata() or ()]


def _seconds(method: Method, context: Context) -> float:
    """The caller's deadline, inside what the method may take."""
    left = context.time_remaining()
    wanted: Any = left  # None when the caller set no deadline, whatever the types say
    return method.seconds if wanted is None else max(_LEAST_SECONDS, min(left, method.seconds))


def _address(peer: str) -> str:
    """``ipv4:192.0.2.1:5000`` without the port: a caller's next connection is still the same caller."""
    return peer.rpartition(":")[0] or peer
