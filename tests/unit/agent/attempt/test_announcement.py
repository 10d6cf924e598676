"""An attempt's start and its result must not cross: Temporal would forget the task that ends the job."""

import asyncio
from typing import cast

from agent.attempt.announcement import Announcement
from agent.attempt.lease import Lease
from agent.attempt.progress import AttemptProgress
from agent.control.api import ApiUnreachable, ControlPlane
from workflows.contracts.attempts import AttemptInput, AttemptStarted
from workflows.contracts.jobs import Step
from workflows.contracts.statuses import OnPartition

ATTEMPT = AttemptInput(
    job_id="7d1f2b9e-0000-4000-8000-000000000001",
    attempt=1,
    job_type="test",
    pool="linux",
    git_repo="file:///srv/repo.git",
    git_commit_sha="0" * 40,
    steps=[Step(name="s0", run="true")],
    timeout_seconds=60,
)


class Api:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked, self.answers = asyncio.Event(), asyncio.Event()
        self.away = False
        self.heard: list[AttemptStarted] = []

    async def announce_start(self, job_id: str, announcement: AttemptStarted, *, key: str | None) -> None:
        self.asked.set()
        if self.away:
            raise ApiUnreachable("nobody there")
        await self.answers.wait()
        self.heard.append(announcement)


def _announcement(api: Api) -> Announcement:
    async def renew() -> bool:
        return False

    lease = Lease(renew, seconds=30, on_partition=OnPartition.STOP, notify=lambda event, grace: None)
    return Announcement(cast("ControlPlane", api), ATTEMPT, "agent-1", lease)


async def test_the_result_waits_for_an_announcement_that_is_on_its_way() -> None:
    api = Api()
    announcement = _announcement(api)
    making = asyncio.create_task(announcement.make(AttemptProgress()))
    await asyncio.wait_for(api.asked.wait(), 60)
    settling = asyncio.create_task(announcement.settle())
    await asyncio.sleep(0.05)
    assert not settling.done()
    api.answers.set()
    await asyncio.wait_for(settling, 60)
    assert len(api.heard) == 1
    await making


async def test_a_result_does_not_wait_for_an_api_that_hangs() -> None:
    api = Api()
    announcement = _announcement(api)
    making = asyncio.create_task(announcement.make(AttemptProgress()))
    await asyncio.wait_for(api.asked.wait(), 60)
    await asyncio.wait_for(announcement.settle(), 60)
    assert api.heard == []
    making.cancel()


async def test_nothing_is_announced_after_the_result() -> None:
    api = Api()
    api.answers.set()
    announcement = _announcement(api)
    await announcement.settle()
    await asyncio.wait_for(announcement.make(AttemptProgress()), 60)
    assert not api.asked.is_set()


async def test_an_api_that_is_away_holds_up_no_result() -> None:
    api = Api()
    api.away = True
    announcement = _announcement(api)
    making = asyncio.create_task(announcement.make(AttemptProgress()))
    await asyncio.wait_for(api.asked.wait(), 60)
    settling = asyncio.create_task(announcement.settle())
    for _ in range(20):
        await asyncio.sleep(0)
    assert settling.done()
    making.cancel()
