"""What becomes of polls and what they bring, which queue is asked, who is kept away. No Temporal."""

import asyncio
from collections.abc import Callable

import pytest

from api.agents.quarantines import Quarantines
from api.auth.binding import NotYoursError
from api.claims.attempt_tasks import AttemptTask, AttemptTasks
from api.claims.leases import LeaseToken, LeaseTokens
from api.claims.polls import HOLD_SECONDS, Polls
from api.claims.queue_choice import QueueChoice
from api.temporal.task_queues import Backlog
from tests.api.live import until
from workflows.contracts.attempts import AttemptInput, AttemptResult
from workflows.contracts.errors import Unavailable
from workflows.contracts.ids import new_job_id
from workflows.contracts.statuses import Outcome

Q = "pool-x"


class FakeTasks(AttemptTasks):
    """Each poll waits until the test lets it end."""

    def __init__(self) -> None:
        self.polls: list[tuple[str, asyncio.Future[AttemptTask | None]]] = []
        self.declined: list[str] = []

    async def poll(self, queue: str, agent_id: str) -> AttemptTask | None:
        assert queue == Q
        ends: asyncio.Future[AttemptTask | None] = asyncio.get_running_loop().create_future()
        self.polls.append((agent_id, ends))
        return await ends

    async def complete(self, token: bytes, result: AttemptResult) -> None:
        assert result.outcome is Outcome.DECLINED
        self.declined.append(token.decode())

    async def bring(self, number: int, name: str, *, avoid: str | None = None) -> None:
        """Let a poll end with a task."""
        await until(lambda: len(self.polls) > number)
        attempt = AttemptInput(
            job_id=new_job_id(), attempt=1, job_type="t", pool="x", git_repo="r", git_commit_sha="a" * 40,
            timeout_seconds=1, avoid_agent=avoid,
        )  # fmt: skip
        agent_id, ends = self.polls[number]
        ends.set_result(AttemptTask(agent_id, name.encode(), attempt, 1))


@pytest.fixture
def tasks() -> FakeTasks:
    return FakeTasks()


@pytest.fixture
def polls(tasks: FakeTasks) -> Polls:
    return Polls(tasks, lambda: 1)


async def test_a_poll_that_outlives_its_claim_serves_the_next_one(tasks: FakeTasks, polls: Polls) -> None:
    polls.withdraw(polls.ask("a", Q))
    waiter = polls.ask("b", Q)
    await tasks.bring(0, "t0")
    await waiter.found
    assert polls.take(waiter).token == b"t0"
    assert [agent for agent, _ in tasks.polls] == ["a"], "no second poll was needed"
    assert tasks.declined == []


async def test_what_comes_for_nobody_is_kept_for_a_moment_then_declined(tasks: FakeTasks, polls: Polls) -> None:
    for waiter in [polls.ask("a", Q), polls.ask("a", Q)]:
        polls.withdraw(waiter)
    began = asyncio.get_running_loop().time()
    await tasks.bring(0, "t0")
    await tasks.bring(1, "t1")
    await until(lambda: polls.under_way == 0)
    waiter = polls.ask("b", Q)
    assert polls.take(waiter).token == b"t0"
    await until(lambda: tasks.declined == ["t1"])
    assert asyncio.get_running_loop().time() - began >= HOLD_SECONDS


async def test_a_task_that_was_given_and_not_taken_goes_to_the_next_in_line(tasks: FakeTasks, polls: Polls) -> None:
    gone, there = polls.ask("a", Q), polls.ask("b", Q)
    await tasks.bring(0, "t0")
    await gone.found
    polls.withdraw(gone)
    assert polls.take(there).token == b"t0"
    assert tasks.declined == []


async def test_an_attempt_goes_past_the_agent_that_lost_it(tasks: FakeTasks, polls: Polls) -> None:
    loser, other = polls.ask("loser", Q), polls.ask("other", Q)
    await tasks.bring(0, "t0", avoid="loser")
    await other.found
    assert polls.take(other).token == b"t0"
    await until(lambda: len(tasks.polls) == 2)
    await tasks.bring(1, "t1", avoid="loser")
    await until(lambda: tasks.declined == ["t1"])
    assert not loser.found.done()
    await tasks.bring(2, "t2")
    await loser.found
    assert polls.take(loser).token == b"t2", "polled again after the declined one"


async def test_a_failed_poll_is_told_to_one_who_waits(tasks: FakeTasks, polls: Polls) -> None:
    waiters = [polls.ask("a", Q), polls.ask("b", Q)]
    await until(lambda: len(tasks.polls) == 2)
    tasks.polls[1][1].set_exception(Unavailable("Temporal is away."))
    await until(lambda: waiters[0].found.done())
    with pytest.raises(Unavailable):
        polls.take(waiters[0])
    assert not waiters[1].found.done()
    polls.withdraw(waiters[1])


async def test_an_empty_poll_is_followed_by_another_while_somebody_waits(tasks: FakeTasks, polls: Polls) -> None:
    waiter = polls.ask("a", Q)
    await until(lambda: len(tasks.polls) == 1)
    tasks.polls[0][1].set_result(None)
    await tasks.bring(1, "t0")
    await waiter.found
    assert polls.take(waiter).token == b"t0"


async def test_polls_are_bounded(tasks: FakeTasks, polls: Polls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.claims.polls.MAX_POLLS", 2)
    waiters = [polls.ask("a", Q), polls.ask("a", Q)]
    with pytest.raises(Unavailable, match="ask again"):
        polls.ask("a", Q)
    for waiter in waiters:
        polls.withdraw(waiter)
    await polls.close()
    assert polls.under_way == 0


async def test_the_queue_with_the_most_urgent_task_is_asked_and_each_choice_counts() -> None:
    waiting = {"a": Backlog({3: 1}, 9.0), "b": Backlog({1: 1, 4: 1}, 1.0), "c": Backlog({}), "d": Backlog({4: 1}, 5.0)}
    asked: list[str] = []
    now = 0.0

    async def backlog(queue: str) -> Backlog:
        asked.append(queue)
        return waiting[queue]

    choice = QueueChoice(backlog, clock=lambda: now)
    assert [await choice.next_of(list(waiting)) for _ in range(5)] == ["b", "a", "d", "b", None]
    assert sorted(asked) == ["a", "b", "c", "d"], "looked at once"
    now = 1.0
    assert await choice.next_of(["c", "b"]) == "b"


def test_a_lease_token_brings_back_what_was_claimed_and_only_to_its_holder() -> None:
    lease = LeaseToken("agent-1", new_job_id(), 3, "x", 30, 1_700_000_000_000, b"\0\1task\0")
    tokens = LeaseTokens(b"k" * 32)
    text = tokens.issue(lease)
    assert tokens.read("agent-1", text) == lease
    assert LeaseTokens(b"k" * 32).read("agent-1", text) == lease, "by any process with the key"
    refusals: list[tuple[LeaseTokens, str, str]] = [
        (tokens, "agent-2", text),
        (LeaseTokens(b"q" * 32), "agent-1", text),
        (tokens, "agent-1", text[:-4]),
        (tokens, "agent-1", "B" + text[1:]),
        (tokens, "agent-1", ""),
    ]
    for reader, agent_id, changed in refusals:
        with pytest.raises(NotYoursError):
            reader.read(agent_id, changed)


def test_a_quarantine_doubles_up_to_an_hour_until_a_job_runs() -> None:
    now = [0]
    quarantines = Quarantines(_clock(now))
    lengths: list[int] = []
    for _ in range(11):
        found = quarantines.reported("a", Outcome.AGENT_ERROR)
        assert found is not None
        lengths.append((found.until - now[0]) // 1000)
        now[0] = found.until
        assert quarantines.of("a") is None
    assert lengths == [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]
    assert quarantines.reported("a", Outcome.AGENT_LOST) is None
    assert quarantines.reported("a", Outcome.FAILED) is None
    again = quarantines.reported("a", Outcome.AGENT_ERROR)
    assert again is not None
    assert again.failures == 1


def _clock(now: list[int]) -> Callable[[], int]:
    return lambda: now[0]
