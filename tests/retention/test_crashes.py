"""A kill at any moment: whichever call of the stores is the last one, nothing is half, and the next sweep ends it."""

from dataclasses import fields, replace
from typing import Any

import pytest

from activities.retention.sweep import SweepStores
from tests.retention.house import House, days
from workflows.contracts.deployments.deployment import DeploymentStatus

_CALLS = ("remove", "write", "keep_sweeps", "expired")
"""What changes something."""


class KilledError(BaseException):
    """No code of ours can catch it by mistake, as nothing catches a kill."""


class Killing:
    """A store whose calls are counted; at one of them the process dies, before it or behind it."""

    def __init__(self, store: Any, count: list[int], at: int, *, behind: bool) -> None:
        self._store, self._count, self._at, self._behind = store, count, at, behind

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name not in _CALLS:
            return found

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._count[0] += 1
            now = self._count[0] == self._at
            if now and not self._behind:
                raise KilledError
            answer = await found(*args, **kwargs)
            if now:
                raise KilledError
            return answer

        return call


@pytest.mark.parametrize("behind", [False, True], ids=["before", "behind"])
async def test_nothing_is_left_half_whichever_call_is_the_last(house: House, *, behind: bool) -> None:
    policy, at, done = days(deployments=90, jobs=90, logs=30, artifacts=30), 0, False
    live = await house.deployment(200, DeploymentStatus.LIVE)
    await house.environment([live])
    while not done:
        at += 1
        old, gone, logged = await house.job(100), await house.deployment(300), await house.job(40)
        count = [0]

        def killing(stores: SweepStores, at: int = at, count: list[int] = count) -> SweepStores:
            named = {each.name: getattr(stores, each.name) for each in fields(stores)}
            wrapped = {name: Killing(each, count, at, behind=behind) for name, each in named.items() if each}
            return replace(stores, **wrapped)

        try:
            await house.swept(policy, stores=killing)
            done = True
        except KilledError:
            pass
        for job in (old, logged):
            stored = await house.stores.jobs.get(job.job_id)
            if stored is not None and stored.logs_removed_at is not None:
                assert (await house.stores.logs.stored(job.job_id)).objects == 0
            await house.is_there(job)
        await house.swept(policy)
        await house.swept(policy)
        assert not await house.is_there(old)
        assert not await house.has_deployment(gone)
        assert [await house.stores.jobs.get(job_id) for job_id in gone.stages[0].job_ids] == [None]
        read = await house.stores.jobs.get(logged.job_id)
        assert read is not None
        assert read.logs_removed_at is not None
        assert await house.has_deployment(live)
    assert at == 1 + 13, "each call was the last one once"
