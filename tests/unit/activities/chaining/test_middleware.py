"""The chains' middleware: whom it blames, what it logs, that runs do not mix, and what it costs."""

import asyncio
import logging
import time
from typing import Any

import pytest
from codeuchain import Context
from pydantic import TypeAdapter, ValidationError

from activities.chaining.chains import CURRENT_RUN, build_chain, run_chain
from activities.chaining.middleware import ObserveChain, failing_link
from activities.jobs.chains import build_job_creation_chain, build_retrieve_job_chain
from activities.jobs.links import SerializeJob
from activities.stores.interfaces.writes import WriteOutcome
from tests.unit.fakes import SPEC, FakeJobStore, make_job, no_agents
from workflows.contracts.errors import NotFound, Unavailable, ValidationFailed
from workflows.contracts.jobs import Job

LOGGER = "activities.chaining.middleware"


class PassOn:
    async def call(self, ctx: Context[Any]) -> Context[Any]:
        await asyncio.sleep(0)
        return ctx


class WaitThenFail:
    """Fails for the jobs that are told to, when everybody has arrived: runs overlap for certain."""

    def __init__(self, parties: int) -> None:
        self._missing = parties
        self._together = asyncio.Event()

    async def call(self, ctx: Context[Any]) -> Context[Any]:
        self._missing -= 1
        if self._missing == 0:
            self._together.set()
        await self._together.wait()
        if ctx.get("fail"):
            raise Unavailable("told to")
        return ctx


class RaisesPydantic:
    async def call(self, ctx: Context[Any]) -> Context[Any]:
        TypeAdapter(int).validate_python("no")
        return ctx


def lines(caplog: pytest.LogCaptureFixture, level: int) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.levelno == level and record.name == LOGGER]


async def test_the_failing_link_is_named_on_the_error_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    chain = build_job_creation_chain(FakeJobStore(), no_agents(), [ObserveChain()])
    caplog.set_level(logging.DEBUG, LOGGER)
    with pytest.raises(ValidationFailed) as caught:
        await run_chain(chain, {"request": {}, "job_id": "j1"}, result="outcome", kind=WriteOutcome)
    assert failing_link(caught.value) == "ValidateJobCreation"
    assert any("ValidateJobCreation" in note and "JobCreation" in note for note in caught.value.__notes__)
    (line,) = lines(caplog, logging.INFO)
    assert (line["chain"], line["link"], line["job_id"]) == ("JobCreation", "ValidateJobCreation", "j1")
    assert line["code"] == "validation_failed"
    assert line["milliseconds"] >= 0


@pytest.mark.parametrize(
    ("link", "kind"), [(WaitThenFail(1), Unavailable), (RaisesPydantic(), ValidationError)], ids=["ours", "foreign"]
)
async def test_what_can_mend_or_is_unknown_is_a_warning(
    link: Any, kind: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    chain = build_chain("Failing", [PassOn(), link], [ObserveChain()])
    with pytest.raises(kind) as caught:
        await run_chain(chain, {"fail": True, "job": make_job()}, result="job", kind=Job)
    assert failing_link(caught.value) == type(link).__name__
    assert [line["link"] for line in lines(caplog, logging.WARNING)] == [type(link).__name__]


async def test_one_line_a_run_at_info_and_each_link_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    chain = build_job_creation_chain(FakeJobStore(), no_agents(), [ObserveChain()])
    caplog.set_level(logging.DEBUG, LOGGER)
    await run_chain(chain, {"request": make_job("j2")}, result="outcome", kind=WriteOutcome)
    (line,) = lines(caplog, logging.INFO)
    assert (line["chain"], line["job_id"]) == ("JobCreation", "j2")
    assert list(line["links"]) == ["ValidateJobCreation", "NoteDemand", "SerializeJob", "CreateJob"]
    assert sum(line["links"].values()) <= line["milliseconds"]
    assert [entry["link"] for entry in lines(caplog, logging.DEBUG)] == list(line["links"])


async def test_reads_are_silent_at_info_unless_they_fail(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    chain = build_retrieve_job_chain(FakeJobStore(make_job("here")), [ObserveChain()])
    await run_chain(chain, {"job_id": "here"}, result="job", kind=Job)
    assert caplog.records == []
    with pytest.raises(NotFound):
        await run_chain(chain, {"job_id": "gone"}, result="job", kind=Job)
    assert [line["code"] for line in lines(caplog, logging.INFO)] == ["not_found"]


async def test_overlapping_runs_of_one_chain_do_not_mix(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    chain = build_chain("Crowd", [PassOn(), WaitThenFail(20), SerializeJob()], [ObserveChain()])

    async def one(number: int) -> object:
        data = {"job_id": str(number), "job": make_job(str(number)), "fail": number % 2 == 1}
        return await run_chain(chain, data, result="job", kind=Job)

    answers = await asyncio.gather(*(one(number) for number in range(20)), return_exceptions=True)
    for number, answer in enumerate(answers):
        if number % 2:
            assert isinstance(answer, Unavailable)
            assert failing_link(answer) == "WaitThenFail"
        else:
            assert isinstance(answer, Job)
    assert {line["job_id"] for line in lines(caplog, logging.WARNING)} == {str(n) for n in range(1, 20, 2)}
    assert {line["job_id"] for line in lines(caplog, logging.INFO)} == {str(n) for n in range(0, 20, 2)}


async def test_a_cancelled_run_leaves_nothing_behind() -> None:
    chain = build_chain("Stuck", [WaitThenFail(2)], [ObserveChain()])

    async def cancelled() -> object:
        try:
            await asyncio.wait_for(run_chain(chain, {}, result="x", kind=str), 0.01)
        except TimeoutError:
            return CURRENT_RUN.get()
        raise AssertionError("the run was not cancelled")

    assert await cancelled() is None


async def test_a_chain_of_three_links_costs_less_than_a_tenth_of_a_millisecond(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The best of many runs: what the code needs, whatever else the machine does."""
    caplog.set_level(logging.WARNING, LOGGER)
    links = [type(name, (PassThrough,), {})() for name in ("First", "Second", "Third")]
    chain = build_chain("Plain", links, [ObserveChain()])
    data = {"job_id": "j", "request": SPEC}
    best = 1.0
    for _ in range(300):
        started = time.perf_counter()
        await run_chain(chain, data, result="job_id", kind=str)
        best = min(best, time.perf_counter() - started)
    assert best < 100e-6


class PassThrough:
    async def call(self, ctx: Context[Any]) -> Context[Any]:
        return ctx.insert("seen", True)
