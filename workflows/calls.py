"""Calls of the control plane's own activities, which mostly take milliseconds: first as a local activity, within the
workflow task that asks; when that lasts, as an ordinary activity, for as long as it takes.

A local activity costs one event of the history and no round trip. But when it outlives its workflow task, the task is
renewed (after four fifths of its ten seconds), what happens meanwhile is delivered before the result, and a replay, as
it finds the result beside those events, delivers both at once: the workflow may then decide otherwise. So a local
activity ends long before, and there is one at a time, for the order in which several end is not in the history.
``activities.delivery`` sees to the rest: a worker that stands still in the middle of a task, and older histories.

Deliberately not here: what is called, and what a workflow does while it waits.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import FailureError, is_cancelled_exception

from workflows.failures import refused_for_good

A = TypeVar("A")
R = TypeVar("R")

LOCAL_SECONDS: Final = 3.0
"""All local activities of one workflow task together. The SDK renews a task after 8 s."""
_SHORTEST_SECONDS: Final = 0.01
_ONE_AT_A_TIME: Final = "one-local-activity-at-a-time"  # 2026-11: before, several ran beside each other
_ONE_TRY: Final = timedelta(seconds=10)
_ONCE: Final = RetryPolicy(maximum_attempts=1)
"""Between two tries the SDK forgets a local activity's ``schedule_to_close`` (``LACompleteAction::Untracked`` in
its core), and it would go on without end. Store clients try again by themselves.
"""
RETRY: Final = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10))


class Calls:
    """The calls of one workflow."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._task: int | None = None  # the length of the history names a workflow task
        self._since = 0.0

    async def call(
        self,
        body: Callable[[A], Awaitable[R]],
        argument: A,
        *,
        summary: str,
        one_try: timedelta = _ONE_TRY,
        give_up_after: timedelta | None = None,
    ) -> R:
        """The activity's result. It is tried until it succeeds, or for ``give_up_after``.

        Raises ApplicationError when the activity refuses for good, as it refused; FailureError when time is up.
        """
        try:
            return await self._local(body, argument, summary, min(one_try, give_up_after or one_try))
        except FailureError as error:
            refusal = refused_for_good(error)
            if refusal is not None:
                raise refusal from None
            if is_cancelled_exception(error):
                raise
        try:
            return await workflow.execute_activity(
                body,
                argument,
                start_to_close_timeout=one_try,
                schedule_to_close_timeout=give_up_after,
                retry_policy=RETRY,
                summary=summary,
            )
        except FailureError as error:
            refusal = refused_for_good(error)
            if refusal is None:
                raise
            raise refusal from None

    async def at_once(self, body: Callable[[A], Awaitable[R]], argument: A, *, summary: str) -> R:
        """The result of an activity that needs nobody else. Raises FailureError when it cannot be had in seconds."""
        return await self._local(body, argument, summary, _ONE_TRY)

    async def _local(self, body: Callable[[A], Awaitable[R]], argument: A, summary: str, one_try: timedelta) -> R:
        if self._turn.locked() and not workflow.patched(_ONE_AT_A_TIME):
            return await self._started(body, argument, summary, one_try)
        async with self._turn:
            return await self._started(body, argument, summary, one_try)

    async def _started(self, body: Callable[[A], Awaitable[R]], argument: A, summary: str, one_try: timedelta) -> R:
        left = self._time_left()
        return await workflow.execute_local_activity(
            body,
            argument,
            start_to_close_timeout=min(one_try, left),
            schedule_to_start_timeout=left,
            retry_policy=_ONCE,
            summary=summary,
        )

    def _time_left(self) -> timedelta:
        """By the real clock, as the SDK's: a local activity's timeouts are not in the history, so no replay sees it."""
        task = workflow.info().get_current_history_length()
        with workflow.unsafe.sandbox_unrestricted():
            now = time.monotonic()
        if task != self._task:
            self._task, self._since = task, now
        return timedelta(seconds=max(LOCAL_SECONDS - (now - self._since), _SHORTEST_SECONDS))
