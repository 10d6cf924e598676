"""A workflow whose commands depend on what came first, and one that keeps a worker's slots."""

import asyncio
from datetime import timedelta

from temporalio import activity, workflow


@activity.defn(name="quiet-work")
async def work() -> None:
    """Lasts long enough for a signal to be heard before it ends."""
    await asyncio.sleep(1)


@workflow.defn(name="QuietWorkflow")
class QuietWorkflow:
    """Waits for work and for a signal."""

    def __init__(self) -> None:
        self._worked = False
        self._told = False

    @workflow.run
    async def run(self) -> str:
        watcher = asyncio.create_task(self._watch())
        await workflow.wait_condition(lambda: self._told)
        if not self._worked:
            await workflow.sleep(timedelta(milliseconds=1))
        await watcher
        return "the work came first" if self._worked else "the signal came first"

    async def _watch(self) -> None:
        await workflow.execute_activity(work, start_to_close_timeout=timedelta(minutes=1))
        self._worked = True

    @workflow.signal
    async def greet(self) -> None:
        """Changes nothing."""

    @workflow.signal
    async def tell(self) -> None:
        self._told = True

    @workflow.update
    async def refused(self) -> None:
        """Never runs."""

    @refused.validator
    def refuse(self) -> None:
        raise ValueError("no")


@workflow.defn(name="SlotWorkflow")
class SlotWorkflow:
    """Takes up a slot of its worker for as long as the worker's runner holds its tasks."""

    def __init__(self) -> None:
        self._ended = False

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: self._ended)

    @workflow.signal
    async def end(self) -> None:
        self._ended = True


@workflow.defn(name="RelayWorkflow")
class RelayWorkflow:
    """Goes on as a new run when it is told to and nobody waits for an answer; ends in its third."""

    def __init__(self) -> None:
        self._on = False

    @workflow.run
    async def run(self, number: int = 1) -> int:
        await workflow.wait_condition(lambda: self._on and workflow.all_handlers_finished())
        if number < 3:
            workflow.continue_as_new(number + 1)
        return number

    @workflow.signal
    async def go_on(self) -> None:
        self._on = True

    @workflow.update
    async def number(self) -> str:
        """The run that answers."""
        await workflow.sleep(timedelta(milliseconds=1))
        return workflow.info().run_id
